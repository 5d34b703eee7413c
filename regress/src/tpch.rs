//! TPC-H: its tables, filled by a generator; its queries; and the changes that they are followed through.

use std::fmt::Display;
use std::io::Write;

use tpchgen::csv::*;
use tpchgen::generators::*;

use crate::cases::{self, Case};
use crate::random::Random;
use crate::session::Session;

pub const SCHEMA: &str = include_str!("../tpch/schema.sql");

pub fn queries() -> Vec<Case> {
    cases::parse(include_str!("../tpch/queries.sql"))
}

/// Creates the tables and fills them at a scale factor.
pub fn load(session: &mut Session, scale: f64) {
    session.run(SCHEMA);
    copy(session, "region", RegionGenerator::new(scale, 1, 1).iter().map(RegionCsv::new));
    copy(session, "nation", NationGenerator::new(scale, 1, 1).iter().map(NationCsv::new));
    copy(session, "part", PartGenerator::new(scale, 1, 1).iter().map(PartCsv::new));
    copy(session, "supplier", SupplierGenerator::new(scale, 1, 1).iter().map(SupplierCsv::new));
    copy(session, "partsupp", PartSuppGenerator::new(scale, 1, 1).iter().map(PartSuppCsv::new));
    copy(session, "customer", CustomerGenerator::new(scale, 1, 1).iter().map(CustomerCsv::new));
    copy(session, "orders", OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new));
    copy(session, "lineitem", LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new));
    session.run("ANALYZE");
}

fn copy(session: &mut Session, table: &str, rows: impl Iterator<Item = impl Display>) {
    let statement = format!("COPY {table} FROM STDIN (FORMAT csv)");
    let mut writer = std::io::BufWriter::new(session.client().copy_in(&statement).expect("COPY begins"));
    for row in rows {
        writeln!(writer, "{row}").expect("rows can be sent");
    }
    let inner = writer.into_inner().map_err(|error| error.into_error()).expect("rows can be sent");
    inner.finish().expect("COPY ends");
}

/// Order keys leave three quarters of each 32 unused: what a refresh stream inserts takes them, shifted by 8, 16 or 24.
const KEY: &str = "o_orderkey % 32 BETWEEN 1 AND 8";

/// RF1: about one order in `one_in`, with its items, as new ones of other customers, parts and dates. `stream` is 1 to 3.
pub fn insert_orders(session: &mut Session, stream: usize, one_in: usize) {
    let shift = stream * 8;
    session.run("BEGIN");
    session.run(&format!(
        "INSERT INTO orders
         SELECT o_orderkey + {shift}, 1 + (o_custkey * 7 + {stream}) % (SELECT max(c_custkey) FROM customer),
                o_orderstatus, o_totalprice * 1.01, o_orderdate + {stream}, o_orderpriority, o_clerk, o_shippriority,
                o_comment
           FROM orders WHERE {KEY} AND hashint4(o_orderkey) % {one_in} = 0"
    ));
    session.run(&format!(
        "INSERT INTO lineitem
         SELECT l_orderkey + {shift}, l_partkey, l_suppkey, l_linenumber, 51 - l_quantity, l_extendedprice * 0.99,
                l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate + {stream}, l_commitdate,
                l_receiptdate + {stream}, l_shipinstruct, l_shipmode, l_comment
           FROM lineitem JOIN orders ON o_orderkey = l_orderkey WHERE {KEY} AND hashint4(o_orderkey) % {one_in} = 0"
    ));
    session.run("COMMIT");
}

/// What [`insert_orders`] has brought goes again.
pub fn take_orders_back(session: &mut Session, stream: usize) {
    let shift = stream * 8;
    session.run("BEGIN");
    for (table, key) in [("lineitem", "l_orderkey"), ("orders", "o_orderkey")] {
        session.run(&format!("DELETE FROM {table} WHERE ({key} - {shift}) % 32 BETWEEN 1 AND 8"));
    }
    session.run("COMMIT");
}

/// RF2: orders and their items go, about one in `one_in` of those that were there from the first.
pub fn delete_orders(session: &mut Session, stream: usize, one_in: usize) {
    session.run("BEGIN");
    for (table, key) in [("lineitem", "l_orderkey"), ("orders", "o_orderkey")] {
        session.run(&format!(
            "DELETE FROM {table} WHERE {key} % 32 BETWEEN 1 AND 8 AND hashint4({key} + {stream}) % {one_in} = 0"
        ));
    }
    session.run("COMMIT");
}

/// A statement that changes some rows of one of the eight tables so that queries notice.
pub fn change(random: &mut Random) -> String {
    let part = |random: &mut Random, one_in: usize, key: &str| {
        format!("abs(hashint4({key} + {})) % {one_in} = 0", random.below(1000))
    };
    let some = |random: &mut Random, of: &[&'static str]| of[random.below(of.len())];
    match random.below(20) {
        0 => {
            let name = some(random, &["EUROPE", "ASIA", "AMERICA", "AFRICA", "MIDDLE EAST"]);
            format!("UPDATE region SET r_name = '{name}' WHERE r_regionkey = {}", random.below(5))
        }
        1 => {
            "UPDATE region SET r_name = (ARRAY['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[r_regionkey + 1]"
                .into()
        }
        2 => format!("UPDATE nation SET n_regionkey = {} WHERE n_nationkey = {}", random.below(5), random.below(25)),
        3 => {
            let name = some(random, &["FRANCE", "GERMANY", "BRAZIL", "CANADA", "SAUDI ARABIA", "KENYA"]);
            format!("UPDATE nation SET n_name = '{name}' WHERE n_nationkey = {}", random.below(25))
        }
        4 => {
            let size = some(random, &["15", "49", "3", "7"]);
            format!("UPDATE part SET p_size = {size} WHERE {}", part(random, 200, "p_partkey"))
        }
        5 => {
            let ty = some(random, &["ECONOMY ANODIZED STEEL", "PROMO BRUSHED BRASS", "LARGE PLATED BRASS"]);
            format!("UPDATE part SET p_type = '{ty}' WHERE {}", part(random, 200, "p_partkey"))
        }
        6 => {
            let (brand, container) =
                (some(random, &["Brand#23", "Brand#12", "Brand#34"]), some(random, &["MED BOX", "SM CASE", "LG PACK"]));
            format!(
                "UPDATE part SET p_brand = '{brand}', p_container = '{container}' WHERE {}",
                part(random, 100, "p_partkey")
            )
        }
        7 => {
            let name = some(random, &["forest green", "green ghost", "plum linen"]);
            format!("UPDATE part SET p_name = '{name}' WHERE {}", part(random, 100, "p_partkey"))
        }
        8 => {
            let comment = some(random, &["Customer slow Complaints", "sleeps"]);
            format!("UPDATE supplier SET s_comment = '{comment}' WHERE {}", part(random, 20, "s_suppkey"))
        }
        9 => format!("UPDATE supplier SET s_nationkey = {} WHERE {}", random.below(25), part(random, 30, "s_suppkey")),
        10 => format!(
            "UPDATE partsupp SET ps_supplycost = ps_supplycost * 0.9, ps_availqty = ps_availqty + 1 WHERE {}",
            part(random, 50, "ps_partkey")
        ),
        11 => format!("DELETE FROM partsupp WHERE {}", part(random, 400, "ps_partkey")),
        12 => format!(
            "UPDATE customer SET c_nationkey = {}, c_mktsegment = 'BUILDING' WHERE {}",
            random.below(25),
            part(random, 100, "c_custkey")
        ),
        13 => format!(
            "UPDATE customer SET c_acctbal = -c_acctbal, c_phone = '{}' || substr(c_phone, 3) WHERE {}",
            some(random, &["13", "31", "40"]),
            part(random, 100, "c_custkey")
        ),
        14 => format!("DELETE FROM customer WHERE {}", part(random, 500, "c_custkey")),
        15 => format!(
            "UPDATE orders SET o_orderstatus = '{}', o_comment = '{}' WHERE {}",
            some(random, &["F", "O", "P"]),
            some(random, &["a special kind of requests", "none"]),
            part(random, 200, "o_orderkey")
        ),
        16 => format!(
            "UPDATE orders SET o_custkey = 1 + (o_custkey * 3) % 1500, o_orderdate = date '{}' WHERE {}",
            some(random, &["1993-08-01", "1993-10-10", "1994-05-05", "1995-03-14", "1996-06-06"]),
            part(random, 200, "o_orderkey")
        ),
        17 => format!(
            "UPDATE lineitem SET l_quantity = {}, l_shipdate = date '{}' WHERE {}",
            1 + random.below(50),
            some(random, &["1994-03-03", "1995-09-09", "1996-02-02", "1998-11-30"]),
            part(random, 200, "l_orderkey")
        ),
        18 => format!(
            "UPDATE lineitem SET l_receiptdate = l_commitdate + {}, l_shipmode = '{}' WHERE {}",
            random.below(5) as i64 - 2,
            some(random, &["MAIL", "AIR", "SHIP"]),
            part(random, 200, "l_orderkey")
        ),
        _ => format!("DELETE FROM lineitem WHERE {}", part(random, 500, "l_orderkey")),
    }
}

/// One row of each table, changed alone.
pub fn single_changes() -> Vec<String> {
    [
        "UPDATE region SET r_comment = 'x', r_name = 'EUROPE' WHERE r_regionkey = 2",
        "UPDATE nation SET n_name = 'GERMANY' WHERE n_nationkey = 3",
        "UPDATE part SET p_brand = 'Brand#23', p_container = 'MED BOX' WHERE p_partkey = 17",
        "UPDATE supplier SET s_acctbal = 9999.99 WHERE s_suppkey = 5",
        "DELETE FROM partsupp WHERE ps_partkey = 17 AND ps_suppkey = (SELECT min(ps_suppkey) FROM partsupp WHERE ps_partkey = 17)",
        "UPDATE customer SET c_acctbal = 9999.99 WHERE c_custkey = 40",
        "DELETE FROM orders WHERE o_orderkey = (SELECT min(o_orderkey) FROM orders)",
        "UPDATE lineitem SET l_quantity = 1 WHERE (l_orderkey, l_linenumber) = (SELECT l_orderkey, l_linenumber FROM lineitem WHERE l_partkey = 17 ORDER BY 1, 2 LIMIT 1)",
        "INSERT INTO lineitem SELECT l_orderkey, 17, l_suppkey, 99, 50, 1000, 0.05, 0, 'R', 'F', '1994-06-06', '1994-06-07', '1994-06-08', 'NONE', 'MAIL', '' FROM lineitem ORDER BY l_orderkey, l_linenumber LIMIT 1",
    ]
    .map(str::to_string)
    .to_vec()
}
