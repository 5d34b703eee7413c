//! What the compiler tells apart in an expression.

use super::image;
use super::list::{integers, pointers};
use super::node::Node;
use pgrx::pg_sys;
use trickle_operators::value::{ColumnType, RowBuilder};

/// What the compiler tells apart in an expression.
pub enum View<'t> {
    Var(Var),
    Const(Constant<'t>),
    Function(Call<'t>),
    Operator(Call<'t>),
    /// `left IS DISTINCT FROM right`, called with the equality operator.
    Distinct(Call<'t>),
    NullIf(Call<'t>),
    /// `left op ANY/ALL (array)`
    ArrayOperator {
        call: Call<'t>,
        any: bool,
    },
    Aggregate(Aggregate<'t>),
    And(Vec<Node<'t>>),
    Or(Vec<Node<'t>>),
    Not(Node<'t>),
    NullTest {
        argument: Node<'t>,
        negated: bool,
        row: bool,
    },
    BooleanTest {
        argument: Node<'t>,
        value: Option<bool>,
        negated: bool,
    },
    Case {
        argument: Option<Node<'t>>,
        branches: Vec<(Node<'t>, Node<'t>)>,
        otherwise: Option<Node<'t>>,
    },
    /// The value of `CASE value WHEN …` inside of its conditions.
    CaseTest,
    Coalesce(Vec<Node<'t>>),
    /// A change of type without a change of value.
    Relabel(Node<'t>),
    SubLink,
    Window,
    /// GROUPING(): the numbers of its arguments among the query's sort and group clauses.
    Grouping {
        references: Vec<u32>,
        levels_up: u32,
    },
    Param,
    CurrentTime(&'static str),
    CurrentUser(&'static str),
    NextValue,
    /// A Query inside an expression; met when a walk enters a SubLink.
    Query,
    /// Anything else: PostgreSQL evaluates it.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// Index into the range table, from 1.
    pub entry: usize,
    pub attribute: i16,
    /// How many queries further out the range table is.
    pub levels_up: u32,
}

pub struct Constant<'t> {
    node: Node<'t>,
}

pub struct Call<'t> {
    /// pg_proc
    pub function: u32,
    /// pg_operator, 0 for a function call
    pub operator: u32,
    pub arguments: Vec<Node<'t>>,
    /// The collation that the function sees.
    pub collation: u32,
    pub variadic: bool,
}

#[derive(Clone)]
pub struct Aggregate<'t> {
    pub function: u32,
    pub arguments: Vec<Node<'t>>,
    /// Of the arguments: which are the sort keys of ORDER BY inside the call, in order.
    pub order: Vec<usize>,
    pub has_order: bool,
    pub distinct: bool,
    pub filter: Option<Node<'t>>,
    pub levels_up: u32,
    pub collation: u32,
    /// Ordered-set or hypothetical-set aggregate.
    pub ordered_set: bool,
    pub variadic: bool,
    /// The order is that of a sorted subquery: PostgreSQL keeps it as far as its plan lets it.
    pub order_of_input: bool,
}

/// A location in no query text: marks aggregates whose order is that of their input. Copies keep it, comparisons ignore it.
pub(super) const SORTED_INPUT: i32 = -7;

impl<'t> Node<'t> {
    pub fn view(self) -> View<'t> {
        use pg_sys::NodeTag::*;
        // SAFETY: each arm casts to the struct of its tag; lists in them are lists of nodes of the same arena.
        unsafe {
            let raw = self.raw();
            match self.tag() {
                T_Var => {
                    let var = &*raw.cast::<pg_sys::Var>();
                    View::Var(Var { entry: var.varno as usize, attribute: var.varattno, levels_up: var.varlevelsup })
                }
                T_Const => View::Const(Constant { node: self }),
                T_FuncExpr => {
                    let call = &*raw.cast::<pg_sys::FuncExpr>();
                    View::Function(Call {
                        function: call.funcid.to_u32(),
                        operator: 0,
                        arguments: self.children(call.args),
                        collation: call.inputcollid.to_u32(),
                        variadic: call.funcvariadic,
                    })
                }
                T_OpExpr => View::Operator(self.operator()),
                T_DistinctExpr => View::Distinct(self.operator()),
                T_NullIfExpr => View::NullIf(self.operator()),
                T_ScalarArrayOpExpr => {
                    let call = &*raw.cast::<pg_sys::ScalarArrayOpExpr>();
                    View::ArrayOperator {
                        call: Call {
                            function: pg_sys::get_opcode(call.opno).to_u32(),
                            operator: call.opno.to_u32(),
                            arguments: self.children(call.args),
                            collation: call.inputcollid.to_u32(),
                            variadic: false,
                        },
                        any: call.useOr,
                    }
                }
                T_Aggref => View::Aggregate(self.aggregate()),
                T_BoolExpr => {
                    let expression = &*raw.cast::<pg_sys::BoolExpr>();
                    let arguments = self.children(expression.args);
                    match expression.boolop {
                        pg_sys::BoolExprType::AND_EXPR => View::And(arguments),
                        pg_sys::BoolExprType::OR_EXPR => View::Or(arguments),
                        _ => View::Not(arguments[0]),
                    }
                }
                T_NullTest => {
                    let test = &*raw.cast::<pg_sys::NullTest>();
                    match self.child(test.arg) {
                        Some(argument) => View::NullTest {
                            argument,
                            negated: test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL,
                            row: test.argisrow,
                        },
                        None => View::Other,
                    }
                }
                T_BooleanTest => {
                    use pg_sys::BoolTestType as B;
                    let test = &*raw.cast::<pg_sys::BooleanTest>();
                    let (value, negated) = match test.booltesttype {
                        B::IS_TRUE => (Some(true), false),
                        B::IS_NOT_TRUE => (Some(true), true),
                        B::IS_FALSE => (Some(false), false),
                        B::IS_NOT_FALSE => (Some(false), true),
                        B::IS_UNKNOWN => (None, false),
                        _ => (None, true),
                    };
                    match self.child(test.arg) {
                        Some(argument) => View::BooleanTest { argument, value, negated },
                        None => View::Other,
                    }
                }
                T_CaseExpr => {
                    let case = &*raw.cast::<pg_sys::CaseExpr>();
                    let branches = pointers::<pg_sys::CaseWhen>(case.args)
                        .into_iter()
                        .filter_map(|when| Some((self.child((*when).expr)?, self.child((*when).result)?)))
                        .collect();
                    View::Case { argument: self.child(case.arg), branches, otherwise: self.child(case.defresult) }
                }
                T_CaseTestExpr => View::CaseTest,
                T_CoalesceExpr => View::Coalesce(self.children((*raw.cast::<pg_sys::CoalesceExpr>()).args)),
                T_RelabelType => match self.child((*raw.cast::<pg_sys::RelabelType>()).arg) {
                    Some(argument) => View::Relabel(argument),
                    None => View::Other,
                },
                T_SubLink | T_SubPlan | T_AlternativeSubPlan => View::SubLink,
                T_WindowFunc => View::Window,
                T_GroupingFunc => {
                    let call = &*raw.cast::<pg_sys::GroupingFunc>();
                    View::Grouping { references: integers(call.refs), levels_up: call.agglevelsup }
                }
                T_Param => View::Param,
                T_NextValueExpr => View::NextValue,
                T_SQLValueFunction => value_function((*raw.cast::<pg_sys::SQLValueFunction>()).op),
                T_Query => View::Query,
                _ => View::Other,
            }
        }
    }

    /// # Safety
    /// The node is an OpExpr, DistinctExpr or NullIfExpr: one struct.
    unsafe fn operator(self) -> Call<'t> {
        // SAFETY: the caller's promise. opfuncid may be unset in stored trees, so the catalog is asked.
        unsafe {
            let call = &*self.raw().cast::<pg_sys::OpExpr>();
            Call {
                function: pg_sys::get_opcode(call.opno).to_u32(),
                operator: call.opno.to_u32(),
                arguments: self.children(call.args),
                collation: call.inputcollid.to_u32(),
                variadic: false,
            }
        }
    }

    /// # Safety
    /// The node is an Aggref.
    unsafe fn aggregate(self) -> Aggregate<'t> {
        // SAFETY: the caller's promise; args are target entries, order clauses are sort clauses that refer to them.
        unsafe {
            let call = &*self.raw().cast::<pg_sys::Aggref>();
            let targets = pointers::<pg_sys::TargetEntry>(call.args);
            let order = pointers::<pg_sys::SortGroupClause>(call.aggorder)
                .into_iter()
                .filter_map(|clause| {
                    targets.iter().position(|target| (**target).ressortgroupref == (*clause).tleSortGroupRef)
                })
                .collect();
            Aggregate {
                function: call.aggfnoid.to_u32(),
                arguments: targets.iter().filter_map(|target| self.child((**target).expr)).collect(),
                order,
                has_order: !call.aggorder.is_null(),
                distinct: !call.aggdistinct.is_null(),
                filter: self.child(call.aggfilter),
                levels_up: call.agglevelsup,
                collation: call.inputcollid.to_u32(),
                ordered_set: call.aggkind as u8 != b'n',
                variadic: call.aggvariadic,
                order_of_input: call.location == SORTED_INPUT,
            }
        }
    }
}

fn value_function<'t>(op: pg_sys::SQLValueFunctionOp::Type) -> View<'t> {
    use pg_sys::SQLValueFunctionOp as S;
    match op {
        S::SVFOP_CURRENT_DATE => View::CurrentTime("CURRENT_DATE"),
        S::SVFOP_CURRENT_TIME | S::SVFOP_CURRENT_TIME_N => View::CurrentTime("CURRENT_TIME"),
        S::SVFOP_CURRENT_TIMESTAMP | S::SVFOP_CURRENT_TIMESTAMP_N => View::CurrentTime("CURRENT_TIMESTAMP"),
        S::SVFOP_LOCALTIME | S::SVFOP_LOCALTIME_N => View::CurrentTime("LOCALTIME"),
        S::SVFOP_LOCALTIMESTAMP | S::SVFOP_LOCALTIMESTAMP_N => View::CurrentTime("LOCALTIMESTAMP"),
        S::SVFOP_CURRENT_ROLE => View::CurrentUser("CURRENT_ROLE"),
        S::SVFOP_SESSION_USER => View::CurrentUser("SESSION_USER"),
        S::SVFOP_CURRENT_CATALOG => View::CurrentUser("CURRENT_CATALOG"),
        S::SVFOP_CURRENT_SCHEMA => View::CurrentUser("CURRENT_SCHEMA"),
        _ => View::CurrentUser("CURRENT_USER"),
    }
}

impl Constant<'_> {
    /// The constant's image; `None` for NULL.
    pub fn image(&self) -> Option<Vec<u8>> {
        // SAFETY: the node is a Const, and its datum is of its own type's storage.
        unsafe {
            let constant = &*self.node.raw().cast::<pg_sys::Const>();
            let storage = image::Storage { length: constant.constlen as i16, by_value: constant.constbyval };
            let mut builder = RowBuilder::default();
            image::append(&mut builder, constant.constvalue, constant.constisnull, storage);
            builder.finish().column(0).map(<[u8]>::to_vec)
        }
    }

    /// The images of an array constant's elements, with the element type; none for NULL or a non-array.
    pub fn array(&self) -> Option<(Vec<Option<Vec<u8>>>, ColumnType)> {
        // SAFETY: the node is a Const; deconstruct_array gets the storage of the array's own element type, and its
        // out-arrays hold `count` elements.
        unsafe {
            let constant = &*self.node.raw().cast::<pg_sys::Const>();
            let element = pg_sys::get_element_type(constant.consttype);
            if constant.constisnull || element == pg_sys::InvalidOid {
                return None;
            }
            let ty = image::column_type(element, -1, constant.constcollid);
            let array = pg_sys::pg_detoast_datum(constant.constvalue.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
            let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
            pg_sys::deconstruct_array(
                array,
                element,
                ty.length.into(),
                ty.by_value,
                ty.align as std::ffi::c_char,
                &mut values,
                &mut nulls,
                &mut count,
            );
            let images = (0..count as usize)
                .map(|at| {
                    let mut builder = RowBuilder::default();
                    image::append(&mut builder, *values.add(at), *nulls.add(at), (&ty).into());
                    builder.finish().column(0).map(<[u8]>::to_vec)
                })
                .collect();
            Some((images, ty))
        }
    }
}
