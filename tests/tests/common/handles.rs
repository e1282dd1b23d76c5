//! Handles in types of several shapes: what guests do with them, and dynamic values with numbers in
//! place of resources.

use cwasm::{ResourceAny, Val};

/// A shape in text, with `R` for the handle; how many core parameters it is, and code that does
/// `$each` with every handle of them.
pub(crate) struct Layout {
    pub(crate) text: &'static str,
    pub(crate) flat: usize,
    pub(crate) each: &'static str,
}

pub(crate) const BARE: Layout = Layout {
    text: "R",
    flat: 1,
    each: "(call $each (local.get 0))",
};

pub(crate) const OPTION: Layout = Layout {
    text: "(option R)",
    flat: 2,
    each: "(if (local.get 0) (then (call $each (local.get 1))))",
};

pub(crate) const LIST: Layout = Layout {
    text: "(list R)",
    flat: 2,
    each: "(call $list (local.get 0) (local.get 1))",
};

pub(crate) const RECORD: Layout = Layout {
    text: r#"(record (field "number" u8) (field "first" R)
      (field "rest" (list R)) (field "maybe" (option R)))"#,
    flat: 6,
    each: "(call $each (local.get 1)) (call $list (local.get 2) (local.get 3))
      (if (local.get 4) (then (call $each (local.get 5))))",
};

/// Memory, and functions of lists of handles.
pub(crate) const LIBRARY: &str = r#"
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next)
      (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))"#;

pub(crate) const LIST_OF_EACH: &str = r#"
  (func $list (param $at i32) (param $len i32)
    (if (local.get $len) (then
      (call $each (i32.load (local.get $at)))
      (call $list (i32.add (local.get $at) (i32.const 4))
        (i32.sub (local.get $len) (i32.const 1))))))"#;

impl Layout {
    /// The core parameters.
    pub(crate) fn params(&self) -> String {
        "(param".to_owned() + &" i32".repeat(self.flat) + ")"
    }

    /// Code that returns the parameters as a result of this type: in memory each of the shapes is
    /// what it is in registers, four bytes each.
    pub(crate) fn same(&self) -> String {
        if self.flat == 1 {
            return self.locals();
        }
        let stores = (0..self.flat)
            .map(|i| format!("(i32.store (i32.const {}) (local.get {i}))", 16 + i * 4));
        stores.collect::<String>() + "(i32.const 16)"
    }

    /// Code that calls the import `$give` with the parameters and returns its result, and the type
    /// of the import.
    pub(crate) fn passed_on(&self, give: &str) -> (String, String) {
        let (params, locals) = (self.params(), self.locals());
        match self.flat {
            1 => (
                format!("(call {give} {locals})"),
                format!("{params} (result i32)"),
            ),
            _ => (
                format!("(call {give} {locals} (i32.const 16)) (i32.const 16)"),
                format!("{params} (param i32)"),
            ),
        }
    }

    /// Code that pushes them.
    pub(crate) fn locals(&self) -> String {
        (0..self.flat).map(|i| format!("(local.get {i})")).collect()
    }
}

/// The numbers of a test's resources, one after the other: no two sums are the same.
pub(crate) fn numbers() -> impl FnMut() -> u32 {
    let mut powers = (0..).map(|power| 1 << power);
    move || powers.next().expect("less than 32 resources")
}

/// A value with other leaves.
pub(crate) fn map(val: &Val, leaf: &mut dyn FnMut(&Val) -> Val) -> Val {
    match val {
        Val::List(items) => Val::List(items.iter().map(|item| map(item, leaf)).collect()),
        Val::Option(some) => Val::Option(some.as_ref().map(|some| Box::new(map(some, leaf)))),
        Val::Record(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, val)| (name.clone(), map(val, leaf)));
            Val::Record(fields.collect())
        }
        val => leaf(val),
    }
}

/// A value with numbers in place of resources.
pub(crate) fn numbered(val: &Val, number: &mut dyn FnMut(ResourceAny) -> u32) -> Val {
    map(val, &mut |leaf| match leaf {
        Val::Resource(resource) => Val::U32(number(*resource)),
        leaf => leaf.clone(),
    })
}

/// A value with resources in place of numbers.
pub(crate) fn with_resources(val: &Val, resource: &mut dyn FnMut(u32) -> ResourceAny) -> Val {
    map(val, &mut |leaf| match leaf {
        Val::U32(number) => Val::Resource(resource(*number)),
        leaf => leaf.clone(),
    })
}

/// The sum of the numbers.
pub(crate) fn sum(val: &Val) -> u32 {
    let mut sum = 0;
    map(val, &mut |leaf| {
        if let Val::U32(number) = leaf {
            sum += number;
        }
        leaf.clone()
    });
    sum
}
