//! Reads pickles as data. Calls, classes and persistent ids become nodes of a graph; nothing is looked up,
//! imported or run, whatever the pickle asks for.
//!
//! Objects live in one list and refer to each other by index, so that what a pickle names many times is held
//! once: memory is proportional to the pickle's length, whatever it does with its memo. Everyone who walks the
//! graph must bound the walk: it may hold loops, and a few bytes can name an exponentially large tree.
//!
//! The operations are those that `torch.save` writes with pickle protocols 2 to 5 (Python's `pickletools`
//! lists them all).

mod machine;

use machine::Machine;

/// Index of an object in its [`Pickle`].
pub(crate) type Id = u32;

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Bytes, sets, huge integers: nothing that weights are made of.
    Opaque,
    /// `module.name`, by name only.
    Class(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Also ordered and default ones. A key that comes twice is in twice.
    Dict(Vec<(Id, Id)>),
    /// What Python would make by calling `callee` with `args` and then giving it `state`.
    Call {
        callee: Id,
        args: Id,
        state: Option<Id>,
    },
    /// What the file's own rules make of an id; for torch, a storage.
    Persistent(Id),
}

/// Why a pickle cannot be read, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {problem}")]
pub(crate) struct PickleError {
    at: usize,
    problem: String,
}

/// A pickle's objects.
#[derive(Debug)]
pub(crate) struct Pickle {
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// Reads the one pickle in `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, PickleError> {
        Machine::new(bytes).run()
    }

    /// The object that the pickle is of.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The object `id`, which came from this pickle.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }

    /// The text at `id`, if it is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer at `id`, if it is one and not negative.
    pub fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The items of the tuple or list at `id`.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    /// Class name and arguments of the call at `id`.
    pub fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        match self.get(id) {
            Object::Call { callee, args, .. } => match self.get(*callee) {
                Object::Class(name) => Some((name, self.items(*args)?)),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
