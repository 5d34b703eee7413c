//! The functions that the engine evaluates, by pg_proc OID: fixed for ever by pg_proc.dat. All are strict and immutable.

use super::function::{Binary, Bits, Comparison, Function, Operation};
use crate::value::Kind;
use Binary::*;
use Comparison::*;
use Operation::*;

const fn unary(oid: u32, operation: Operation, argument: Kind, result: Kind) -> Function {
    Function { oid, operation, arguments: [argument, argument], arity: 1, result }
}

const fn binary(oid: u32, operation: Operation, left: Kind, right: Kind, result: Kind) -> Function {
    Function { oid, operation, arguments: [left, right], arity: 2, result }
}

/// In the order of OIDs.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    binary(56, Compare(Lt), Kind::Bool, Kind::Bool, Kind::Bool), // boollt
    binary(57, Compare(Gt), Kind::Bool, Kind::Bool, Kind::Bool), // boolgt
    binary(60, Compare(Eq), Kind::Bool, Kind::Bool, Kind::Bool), // booleq
    binary(63, Compare(Eq), Kind::Int2, Kind::Int2, Kind::Bool), // int2eq
    binary(64, Compare(Lt), Kind::Int2, Kind::Int2, Kind::Bool), // int2lt
    binary(65, Compare(Eq), Kind::Int4, Kind::Int4, Kind::Bool), // int4eq
    binary(66, Compare(Lt), Kind::Int4, Kind::Int4, Kind::Bool), // int4lt
    binary(67, Compare(Eq), Kind::Text, Kind::Text, Kind::Bool), // texteq
    binary(84, Compare(Ne), Kind::Bool, Kind::Bool, Kind::Bool), // boolne
    binary(141, Arithmetic(Multiply), Kind::Int4, Kind::Int4, Kind::Int4), // int4mul
    binary(144, Compare(Ne), Kind::Int4, Kind::Int4, Kind::Bool), // int4ne
    binary(145, Compare(Ne), Kind::Int2, Kind::Int2, Kind::Bool), // int2ne
    binary(146, Compare(Gt), Kind::Int2, Kind::Int2, Kind::Bool), // int2gt
    binary(147, Compare(Gt), Kind::Int4, Kind::Int4, Kind::Bool), // int4gt
    binary(148, Compare(Le), Kind::Int2, Kind::Int2, Kind::Bool), // int2le
    binary(149, Compare(Le), Kind::Int4, Kind::Int4, Kind::Bool), // int4le
    binary(150, Compare(Ge), Kind::Int4, Kind::Int4, Kind::Bool), // int4ge
    binary(151, Compare(Ge), Kind::Int2, Kind::Int2, Kind::Bool), // int2ge
    binary(152, Arithmetic(Multiply), Kind::Int2, Kind::Int2, Kind::Int2), // int2mul
    binary(153, Arithmetic(Divide), Kind::Int2, Kind::Int2, Kind::Int2), // int2div
    binary(154, Arithmetic(Divide), Kind::Int4, Kind::Int4, Kind::Int4), // int4div
    binary(155, Arithmetic(Remainder), Kind::Int2, Kind::Int2, Kind::Int2), // int2mod
    binary(156, Arithmetic(Remainder), Kind::Int4, Kind::Int4, Kind::Int4), // int4mod
    binary(157, Compare(Ne), Kind::Text, Kind::Text, Kind::Bool), // textne
    binary(158, Compare(Eq), Kind::Int2, Kind::Int4, Kind::Bool), // int24eq
    binary(159, Compare(Eq), Kind::Int4, Kind::Int2, Kind::Bool), // int42eq
    binary(160, Compare(Lt), Kind::Int2, Kind::Int4, Kind::Bool), // int24lt
    binary(161, Compare(Lt), Kind::Int4, Kind::Int2, Kind::Bool), // int42lt
    binary(162, Compare(Gt), Kind::Int2, Kind::Int4, Kind::Bool), // int24gt
    binary(163, Compare(Gt), Kind::Int4, Kind::Int2, Kind::Bool), // int42gt
    binary(164, Compare(Ne), Kind::Int2, Kind::Int4, Kind::Bool), // int24ne
    binary(165, Compare(Ne), Kind::Int4, Kind::Int2, Kind::Bool), // int42ne
    binary(166, Compare(Le), Kind::Int2, Kind::Int4, Kind::Bool), // int24le
    binary(167, Compare(Le), Kind::Int4, Kind::Int2, Kind::Bool), // int42le
    binary(168, Compare(Ge), Kind::Int2, Kind::Int4, Kind::Bool), // int24ge
    binary(169, Compare(Ge), Kind::Int4, Kind::Int2, Kind::Bool), // int42ge
    binary(170, Arithmetic(Multiply), Kind::Int2, Kind::Int4, Kind::Int4), // int24mul
    binary(171, Arithmetic(Multiply), Kind::Int4, Kind::Int2, Kind::Int4), // int42mul
    binary(172, Arithmetic(Divide), Kind::Int2, Kind::Int4, Kind::Int4), // int24div
    binary(173, Arithmetic(Divide), Kind::Int4, Kind::Int2, Kind::Int4), // int42div
    binary(176, Arithmetic(Add), Kind::Int2, Kind::Int2, Kind::Int2), // int2pl
    binary(177, Arithmetic(Add), Kind::Int4, Kind::Int4, Kind::Int4), // int4pl
    binary(178, Arithmetic(Add), Kind::Int2, Kind::Int4, Kind::Int4), // int24pl
    binary(179, Arithmetic(Add), Kind::Int4, Kind::Int2, Kind::Int4), // int42pl
    binary(180, Arithmetic(Subtract), Kind::Int2, Kind::Int2, Kind::Int2), // int2mi
    binary(181, Arithmetic(Subtract), Kind::Int4, Kind::Int4, Kind::Int4), // int4mi
    binary(182, Arithmetic(Subtract), Kind::Int2, Kind::Int4, Kind::Int4), // int24mi
    binary(183, Arithmetic(Subtract), Kind::Int4, Kind::Int2, Kind::Int4), // int42mi
    binary(184, Compare(Eq), Kind::Oid, Kind::Oid, Kind::Bool), // oideq
    binary(185, Compare(Ne), Kind::Oid, Kind::Oid, Kind::Bool), // oidne
    binary(202, Arithmetic(Multiply), Kind::Float4, Kind::Float4, Kind::Float4), // float4mul
    binary(203, Arithmetic(Divide), Kind::Float4, Kind::Float4, Kind::Float4), // float4div
    binary(204, Arithmetic(Add), Kind::Float4, Kind::Float4, Kind::Float4), // float4pl
    binary(205, Arithmetic(Subtract), Kind::Float4, Kind::Float4, Kind::Float4), // float4mi
    unary(206, Negate, Kind::Float4, Kind::Float4), // float4um
    unary(207, Absolute, Kind::Float4, Kind::Float4), // float4abs
    unary(212, Negate, Kind::Int4, Kind::Int4), // int4um
    unary(213, Negate, Kind::Int2, Kind::Int2), // int2um
    binary(216, Arithmetic(Multiply), Kind::Float8, Kind::Float8, Kind::Float8), // float8mul
    binary(217, Arithmetic(Divide), Kind::Float8, Kind::Float8, Kind::Float8), // float8div
    binary(218, Arithmetic(Add), Kind::Float8, Kind::Float8, Kind::Float8), // float8pl
    binary(219, Arithmetic(Subtract), Kind::Float8, Kind::Float8, Kind::Float8), // float8mi
    unary(220, Negate, Kind::Float8, Kind::Float8), // float8um
    unary(221, Absolute, Kind::Float8, Kind::Float8), // float8abs
    unary(235, Cast, Kind::Int2, Kind::Float8), // i2tod
    unary(236, Cast, Kind::Int2, Kind::Float4), // i2tof
    unary(237, Cast, Kind::Float8, Kind::Int2), // dtoi2
    binary(279, Arithmetic(Multiply), Kind::Float4, Kind::Float8, Kind::Float8), // float48mul
    binary(280, Arithmetic(Divide), Kind::Float4, Kind::Float8, Kind::Float8), // float48div
    binary(281, Arithmetic(Add), Kind::Float4, Kind::Float8, Kind::Float8), // float48pl
    binary(282, Arithmetic(Subtract), Kind::Float4, Kind::Float8, Kind::Float8), // float48mi
    binary(283, Arithmetic(Multiply), Kind::Float8, Kind::Float4, Kind::Float8), // float84mul
    binary(284, Arithmetic(Divide), Kind::Float8, Kind::Float4, Kind::Float8), // float84div
    binary(285, Arithmetic(Add), Kind::Float8, Kind::Float4, Kind::Float8), // float84pl
    binary(286, Arithmetic(Subtract), Kind::Float8, Kind::Float4, Kind::Float8), // float84mi
    binary(287, Compare(Eq), Kind::Float4, Kind::Float4, Kind::Bool), // float4eq
    binary(288, Compare(Ne), Kind::Float4, Kind::Float4, Kind::Bool), // float4ne
    binary(289, Compare(Lt), Kind::Float4, Kind::Float4, Kind::Bool), // float4lt
    binary(290, Compare(Le), Kind::Float4, Kind::Float4, Kind::Bool), // float4le
    binary(291, Compare(Gt), Kind::Float4, Kind::Float4, Kind::Bool), // float4gt
    binary(292, Compare(Ge), Kind::Float4, Kind::Float4, Kind::Bool), // float4ge
    binary(293, Compare(Eq), Kind::Float8, Kind::Float8, Kind::Bool), // float8eq
    binary(294, Compare(Ne), Kind::Float8, Kind::Float8, Kind::Bool), // float8ne
    binary(295, Compare(Lt), Kind::Float8, Kind::Float8, Kind::Bool), // float8lt
    binary(296, Compare(Le), Kind::Float8, Kind::Float8, Kind::Bool), // float8le
    binary(297, Compare(Gt), Kind::Float8, Kind::Float8, Kind::Bool), // float8gt
    binary(298, Compare(Ge), Kind::Float8, Kind::Float8, Kind::Bool), // float8ge
    binary(299, Compare(Eq), Kind::Float4, Kind::Float8, Kind::Bool), // float48eq
    binary(300, Compare(Ne), Kind::Float4, Kind::Float8, Kind::Bool), // float48ne
    binary(301, Compare(Lt), Kind::Float4, Kind::Float8, Kind::Bool), // float48lt
    binary(302, Compare(Le), Kind::Float4, Kind::Float8, Kind::Bool), // float48le
    binary(303, Compare(Gt), Kind::Float4, Kind::Float8, Kind::Bool), // float48gt
    binary(304, Compare(Ge), Kind::Float4, Kind::Float8, Kind::Bool), // float48ge
    binary(305, Compare(Eq), Kind::Float8, Kind::Float4, Kind::Bool), // float84eq
    binary(306, Compare(Ne), Kind::Float8, Kind::Float4, Kind::Bool), // float84ne
    binary(307, Compare(Lt), Kind::Float8, Kind::Float4, Kind::Bool), // float84lt
    binary(308, Compare(Le), Kind::Float8, Kind::Float4, Kind::Bool), // float84le
    binary(309, Compare(Gt), Kind::Float8, Kind::Float4, Kind::Bool), // float84gt
    binary(310, Compare(Ge), Kind::Float8, Kind::Float4, Kind::Bool), // float84ge
    unary(311, Cast, Kind::Float4, Kind::Float8), // ftod
    unary(312, Cast, Kind::Float8, Kind::Float4), // dtof
    unary(313, Cast, Kind::Int2, Kind::Int4), // i2toi4
    unary(314, Cast, Kind::Int4, Kind::Int2), // i4toi2
    unary(316, Cast, Kind::Int4, Kind::Float8), // i4tod
    unary(317, Cast, Kind::Float8, Kind::Int4), // dtoi4
    unary(318, Cast, Kind::Int4, Kind::Float4), // i4tof
    unary(319, Cast, Kind::Float4, Kind::Int4), // ftoi4
    unary(462, Negate, Kind::Int8, Kind::Int8), // int8um
    binary(463, Arithmetic(Add), Kind::Int8, Kind::Int8, Kind::Int8), // int8pl
    binary(464, Arithmetic(Subtract), Kind::Int8, Kind::Int8, Kind::Int8), // int8mi
    binary(465, Arithmetic(Multiply), Kind::Int8, Kind::Int8, Kind::Int8), // int8mul
    binary(466, Arithmetic(Divide), Kind::Int8, Kind::Int8, Kind::Int8), // int8div
    binary(467, Compare(Eq), Kind::Int8, Kind::Int8, Kind::Bool), // int8eq
    binary(468, Compare(Ne), Kind::Int8, Kind::Int8, Kind::Bool), // int8ne
    binary(469, Compare(Lt), Kind::Int8, Kind::Int8, Kind::Bool), // int8lt
    binary(470, Compare(Gt), Kind::Int8, Kind::Int8, Kind::Bool), // int8gt
    binary(471, Compare(Le), Kind::Int8, Kind::Int8, Kind::Bool), // int8le
    binary(472, Compare(Ge), Kind::Int8, Kind::Int8, Kind::Bool), // int8ge
    binary(474, Compare(Eq), Kind::Int8, Kind::Int4, Kind::Bool), // int84eq
    binary(475, Compare(Ne), Kind::Int8, Kind::Int4, Kind::Bool), // int84ne
    binary(476, Compare(Lt), Kind::Int8, Kind::Int4, Kind::Bool), // int84lt
    binary(477, Compare(Gt), Kind::Int8, Kind::Int4, Kind::Bool), // int84gt
    binary(478, Compare(Le), Kind::Int8, Kind::Int4, Kind::Bool), // int84le
    binary(479, Compare(Ge), Kind::Int8, Kind::Int4, Kind::Bool), // int84ge
    unary(480, Cast, Kind::Int8, Kind::Int4), // int84
    unary(481, Cast, Kind::Int4, Kind::Int8), // int48
    unary(482, Cast, Kind::Int8, Kind::Float8), // i8tod
    unary(483, Cast, Kind::Float8, Kind::Int8), // dtoi8
    unary(652, Cast, Kind::Int8, Kind::Float4), // i8tof
    unary(714, Cast, Kind::Int8, Kind::Int2), // int82
    binary(716, Compare(Lt), Kind::Oid, Kind::Oid, Kind::Bool), // oidlt
    binary(717, Compare(Le), Kind::Oid, Kind::Oid, Kind::Bool), // oidle
    binary(740, Compare(Lt), Kind::Text, Kind::Text, Kind::Bool), // text_lt
    binary(741, Compare(Le), Kind::Text, Kind::Text, Kind::Bool), // text_le
    binary(742, Compare(Gt), Kind::Text, Kind::Text, Kind::Bool), // text_gt
    binary(743, Compare(Ge), Kind::Text, Kind::Text, Kind::Bool), // text_ge
    unary(754, Cast, Kind::Int2, Kind::Int8), // int28
    binary(837, Arithmetic(Add), Kind::Int8, Kind::Int2, Kind::Int8), // int82pl
    binary(838, Arithmetic(Subtract), Kind::Int8, Kind::Int2, Kind::Int8), // int82mi
    binary(839, Arithmetic(Multiply), Kind::Int8, Kind::Int2, Kind::Int8), // int82mul
    binary(840, Arithmetic(Divide), Kind::Int8, Kind::Int2, Kind::Int8), // int82div
    binary(841, Arithmetic(Add), Kind::Int2, Kind::Int8, Kind::Int8), // int28pl
    binary(852, Compare(Eq), Kind::Int4, Kind::Int8, Kind::Bool), // int48eq
    binary(853, Compare(Ne), Kind::Int4, Kind::Int8, Kind::Bool), // int48ne
    binary(854, Compare(Lt), Kind::Int4, Kind::Int8, Kind::Bool), // int48lt
    binary(855, Compare(Gt), Kind::Int4, Kind::Int8, Kind::Bool), // int48gt
    binary(856, Compare(Le), Kind::Int4, Kind::Int8, Kind::Bool), // int48le
    binary(857, Compare(Ge), Kind::Int4, Kind::Int8, Kind::Bool), // int48ge
    binary(940, Arithmetic(Remainder), Kind::Int2, Kind::Int2, Kind::Int2), // int2mod
    binary(941, Arithmetic(Remainder), Kind::Int4, Kind::Int4, Kind::Int4), // int4mod
    binary(942, Arithmetic(Subtract), Kind::Int2, Kind::Int8, Kind::Int8), // int28mi
    binary(943, Arithmetic(Multiply), Kind::Int2, Kind::Int8, Kind::Int8), // int28mul
    binary(945, Arithmetic(Remainder), Kind::Int8, Kind::Int8, Kind::Int8), // int8mod
    binary(947, Arithmetic(Remainder), Kind::Int8, Kind::Int8, Kind::Int8), // int8mod
    binary(948, Arithmetic(Divide), Kind::Int2, Kind::Int8, Kind::Int8), // int28div
    binary(1048, Compare(Eq), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpchareq
    binary(1049, Compare(Lt), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpcharlt
    binary(1050, Compare(Le), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpcharle
    binary(1051, Compare(Gt), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpchargt
    binary(1052, Compare(Ge), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpcharge
    binary(1053, Compare(Ne), Kind::Bpchar, Kind::Bpchar, Kind::Bool), // bpcharne
    binary(1086, Compare(Eq), Kind::Date, Kind::Date, Kind::Bool), // date_eq
    binary(1087, Compare(Lt), Kind::Date, Kind::Date, Kind::Bool), // date_lt
    binary(1088, Compare(Le), Kind::Date, Kind::Date, Kind::Bool), // date_le
    binary(1089, Compare(Gt), Kind::Date, Kind::Date, Kind::Bool), // date_gt
    binary(1090, Compare(Ge), Kind::Date, Kind::Date, Kind::Bool), // date_ge
    binary(1091, Compare(Ne), Kind::Date, Kind::Date, Kind::Bool), // date_ne
    binary(1102, Compare(Lt), Kind::Time, Kind::Time, Kind::Bool), // time_lt
    binary(1103, Compare(Le), Kind::Time, Kind::Time, Kind::Bool), // time_le
    binary(1104, Compare(Gt), Kind::Time, Kind::Time, Kind::Bool), // time_gt
    binary(1105, Compare(Ge), Kind::Time, Kind::Time, Kind::Bool), // time_ge
    binary(1106, Compare(Ne), Kind::Time, Kind::Time, Kind::Bool), // time_ne
    binary(1140, Days, Kind::Date, Kind::Date, Kind::Int4), // date_mi
    binary(1141, DatePlus, Kind::Date, Kind::Int4, Kind::Date), // date_pli
    binary(1142, DateMinus, Kind::Date, Kind::Int4, Kind::Date), // date_mii
    binary(1145, Compare(Eq), Kind::Time, Kind::Time, Kind::Bool), // time_eq
    binary(1152, Compare(Eq), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_eq
    binary(1153, Compare(Ne), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_ne
    binary(1154, Compare(Lt), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_lt
    binary(1155, Compare(Le), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_le
    binary(1156, Compare(Ge), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_ge
    binary(1157, Compare(Gt), Kind::TimestampTz, Kind::TimestampTz, Kind::Bool), // timestamp_gt
    binary(1162, Compare(Eq), Kind::Interval, Kind::Interval, Kind::Bool), // interval_eq
    binary(1163, Compare(Ne), Kind::Interval, Kind::Interval, Kind::Bool), // interval_ne
    binary(1164, Compare(Lt), Kind::Interval, Kind::Interval, Kind::Bool), // interval_lt
    binary(1165, Compare(Le), Kind::Interval, Kind::Interval, Kind::Bool), // interval_le
    binary(1166, Compare(Ge), Kind::Interval, Kind::Interval, Kind::Bool), // interval_ge
    binary(1167, Compare(Gt), Kind::Interval, Kind::Interval, Kind::Bool), // interval_gt
    unary(1230, Absolute, Kind::Int8, Kind::Int8), // int8abs
    unary(1251, Absolute, Kind::Int4, Kind::Int4), // int4abs
    unary(1253, Absolute, Kind::Int2, Kind::Int2), // int2abs
    unary(1257, Characters, Kind::Text, Kind::Int4), // textlen
    binary(1274, Arithmetic(Add), Kind::Int8, Kind::Int4, Kind::Int8), // int84pl
    binary(1275, Arithmetic(Subtract), Kind::Int8, Kind::Int4, Kind::Int8), // int84mi
    binary(1276, Arithmetic(Multiply), Kind::Int8, Kind::Int4, Kind::Int8), // int84mul
    binary(1277, Arithmetic(Divide), Kind::Int8, Kind::Int4, Kind::Int8), // int84div
    binary(1278, Arithmetic(Add), Kind::Int4, Kind::Int8, Kind::Int8), // int48pl
    binary(1279, Arithmetic(Subtract), Kind::Int4, Kind::Int8, Kind::Int8), // int48mi
    binary(1280, Arithmetic(Multiply), Kind::Int4, Kind::Int8, Kind::Int8), // int48mul
    binary(1281, Arithmetic(Divide), Kind::Int4, Kind::Int8, Kind::Int8), // int48div
    unary(1317, Characters, Kind::Text, Kind::Int4), // textlen
    unary(1369, Characters, Kind::Text, Kind::Int4), // textlen
    unary(1374, Octets, Kind::Text, Kind::Int4), // textoctetlen
    unary(1381, Characters, Kind::Text, Kind::Int4), // textlen
    unary(1394, Absolute, Kind::Float4, Kind::Float4), // float4abs
    unary(1395, Absolute, Kind::Float8, Kind::Float8), // float8abs
    unary(1396, Absolute, Kind::Int8, Kind::Int8), // int8abs
    unary(1397, Absolute, Kind::Int4, Kind::Int4), // int4abs
    unary(1398, Absolute, Kind::Int2, Kind::Int2), // int2abs
    binary(1638, Compare(Gt), Kind::Oid, Kind::Oid, Kind::Bool), // oidgt
    binary(1639, Compare(Ge), Kind::Oid, Kind::Oid, Kind::Bool), // oidge
    binary(1691, Compare(Le), Kind::Bool, Kind::Bool, Kind::Bool), // boolle
    binary(1692, Compare(Ge), Kind::Bool, Kind::Bool, Kind::Bool), // boolge
    binary(1703, Rescale, Kind::Numeric, Kind::Int4, Kind::Numeric), // numeric
    unary(1704, Absolute, Kind::Numeric, Kind::Numeric), // numeric_abs
    unary(1705, Absolute, Kind::Numeric, Kind::Numeric), // numeric_abs
    unary(1706, Sign, Kind::Numeric, Kind::Numeric), // numeric_sign
    binary(1707, Round, Kind::Numeric, Kind::Int4, Kind::Numeric), // numeric_round
    binary(1709, Truncate, Kind::Numeric, Kind::Int4, Kind::Numeric), // numeric_trunc
    unary(1711, Ceiling, Kind::Numeric, Kind::Numeric), // numeric_ceil
    unary(1712, Floor, Kind::Numeric, Kind::Numeric), // numeric_floor
    binary(1718, Compare(Eq), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_eq
    binary(1719, Compare(Ne), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_ne
    binary(1720, Compare(Gt), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_gt
    binary(1721, Compare(Ge), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_ge
    binary(1722, Compare(Lt), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_lt
    binary(1723, Compare(Le), Kind::Numeric, Kind::Numeric, Kind::Bool), // numeric_le
    binary(1724, Arithmetic(Add), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_add
    binary(1725, Arithmetic(Subtract), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_sub
    binary(1726, Arithmetic(Multiply), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_mul
    binary(1727, Arithmetic(Divide), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_div
    binary(1728, Arithmetic(Remainder), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_mod
    binary(1729, Arithmetic(Remainder), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_mod
    unary(1740, Cast, Kind::Int4, Kind::Numeric), // int4_numeric
    unary(1742, Cast, Kind::Float4, Kind::Numeric), // float4_numeric
    unary(1743, Cast, Kind::Float8, Kind::Numeric), // float8_numeric
    unary(1744, Cast, Kind::Numeric, Kind::Int4), // numeric_int4
    unary(1745, Cast, Kind::Numeric, Kind::Float4), // numeric_float4
    unary(1746, Cast, Kind::Numeric, Kind::Float8), // numeric_float8
    unary(1771, Negate, Kind::Numeric, Kind::Numeric), // numeric_uminus
    unary(1779, Cast, Kind::Numeric, Kind::Int8), // numeric_int8
    unary(1781, Cast, Kind::Int8, Kind::Numeric), // int8_numeric
    unary(1782, Cast, Kind::Int2, Kind::Numeric), // int2_numeric
    unary(1783, Cast, Kind::Numeric, Kind::Int2), // numeric_int2
    binary(1850, Compare(Eq), Kind::Int2, Kind::Int8, Kind::Bool), // int28eq
    binary(1851, Compare(Ne), Kind::Int2, Kind::Int8, Kind::Bool), // int28ne
    binary(1852, Compare(Lt), Kind::Int2, Kind::Int8, Kind::Bool), // int28lt
    binary(1853, Compare(Gt), Kind::Int2, Kind::Int8, Kind::Bool), // int28gt
    binary(1854, Compare(Le), Kind::Int2, Kind::Int8, Kind::Bool), // int28le
    binary(1855, Compare(Ge), Kind::Int2, Kind::Int8, Kind::Bool), // int28ge
    binary(1856, Compare(Eq), Kind::Int8, Kind::Int2, Kind::Bool), // int82eq
    binary(1857, Compare(Ne), Kind::Int8, Kind::Int2, Kind::Bool), // int82ne
    binary(1858, Compare(Lt), Kind::Int8, Kind::Int2, Kind::Bool), // int82lt
    binary(1859, Compare(Gt), Kind::Int8, Kind::Int2, Kind::Bool), // int82gt
    binary(1860, Compare(Le), Kind::Int8, Kind::Int2, Kind::Bool), // int82le
    binary(1861, Compare(Ge), Kind::Int8, Kind::Int2, Kind::Bool), // int82ge
    binary(1892, Bitwise(Bits::And), Kind::Int2, Kind::Int2, Kind::Int2), // int2and
    binary(1893, Bitwise(Bits::Or), Kind::Int2, Kind::Int2, Kind::Int2), // int2or
    binary(1894, Bitwise(Bits::Xor), Kind::Int2, Kind::Int2, Kind::Int2), // int2xor
    unary(1895, Complement, Kind::Int2, Kind::Int2), // int2not
    binary(1898, Bitwise(Bits::And), Kind::Int4, Kind::Int4, Kind::Int4), // int4and
    binary(1899, Bitwise(Bits::Or), Kind::Int4, Kind::Int4, Kind::Int4), // int4or
    binary(1900, Bitwise(Bits::Xor), Kind::Int4, Kind::Int4, Kind::Int4), // int4xor
    unary(1901, Complement, Kind::Int4, Kind::Int4), // int4not
    binary(1904, Bitwise(Bits::And), Kind::Int8, Kind::Int8, Kind::Int8), // int8and
    binary(1905, Bitwise(Bits::Or), Kind::Int8, Kind::Int8, Kind::Int8), // int8or
    binary(1906, Bitwise(Bits::Xor), Kind::Int8, Kind::Int8, Kind::Int8), // int8xor
    unary(1907, Complement, Kind::Int8, Kind::Int8), // int8not
    unary(1910, Identity, Kind::Int8, Kind::Int8), // int8up
    unary(1911, Identity, Kind::Int2, Kind::Int2), // int2up
    unary(1912, Identity, Kind::Int4, Kind::Int4), // int4up
    unary(1913, Identity, Kind::Float4, Kind::Float4), // float4up
    unary(1914, Identity, Kind::Float8, Kind::Float8), // float8up
    unary(1915, Identity, Kind::Numeric, Kind::Numeric), // numeric_uplus
    binary(1948, Compare(Eq), Kind::Bytea, Kind::Bytea, Kind::Bool), // byteaeq
    binary(1949, Compare(Lt), Kind::Bytea, Kind::Bytea, Kind::Bool), // bytealt
    binary(1950, Compare(Le), Kind::Bytea, Kind::Bytea, Kind::Bool), // byteale
    binary(1951, Compare(Gt), Kind::Bytea, Kind::Bytea, Kind::Bool), // byteagt
    binary(1952, Compare(Ge), Kind::Bytea, Kind::Bytea, Kind::Bool), // byteage
    binary(1953, Compare(Ne), Kind::Bytea, Kind::Bytea, Kind::Bool), // byteane
    binary(1973, Arithmetic(Quotient), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_div_trunc
    binary(1980, Arithmetic(Quotient), Kind::Numeric, Kind::Numeric, Kind::Numeric), // numeric_div_trunc
    binary(2052, Compare(Eq), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_eq
    binary(2053, Compare(Ne), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_ne
    binary(2054, Compare(Lt), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_lt
    binary(2055, Compare(Le), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_le
    binary(2056, Compare(Ge), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_ge
    binary(2057, Compare(Gt), Kind::Timestamp, Kind::Timestamp, Kind::Bool), // timestamp_gt
    unary(2167, Ceiling, Kind::Numeric, Kind::Numeric), // numeric_ceil
    unary(2557, Cast, Kind::Int4, Kind::Bool), // int4_bool
    unary(2558, Cast, Kind::Bool, Kind::Int4), // bool_int4
    binary(2954, Compare(Lt), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_lt
    binary(2955, Compare(Le), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_le
    binary(2956, Compare(Eq), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_eq
    binary(2957, Compare(Ge), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_ge
    binary(2958, Compare(Gt), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_gt
    binary(2959, Compare(Ne), Kind::Uuid, Kind::Uuid, Kind::Bool), // uuid_ne
];
