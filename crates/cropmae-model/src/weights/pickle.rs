//! Reads pickles as data. Calls, classes and persistent ids become nodes of a graph. Nothing is looked up, imported or
//! executed.
//!
//! Objects are in one list and refer to each other by index, so an object with many references is stored once and
//! memory is proportional to the length of the pickle. Code that walks the graph must bound the walk: the graph may
//! have loops, and a few bytes can describe an exponentially large tree.
//!
//! The operations are those that `torch.save` writes with pickle protocols 2 to 5 (Python's `pickletools`
//! lists them all).

mod machine;

use machine::Machine;

/// The index of an object in its [`Pickle`].
pub(crate) type Id = u32;

/// An object of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Bytes, a set, a large integer or another object that weights do not need.
    Opaque,
    /// The name of a class or function, `module.name`.
    Class(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A plain, ordered or default dictionary. A repeated key is stored repeatedly.
    Dict(Vec<(Id, Id)>),
    /// The object that Python would create by calling `callee` with `args` and then setting `state`.
    Call {
        callee: Id,
        args: Id,
        state: Option<Id>,
    },
    /// A persistent id, which PyTorch uses for storages.
    Persistent(Id),
}

/// The reason why a pickle cannot be read, and the position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {problem}")]
pub(crate) struct PickleError {
    at: usize,
    problem: String,
}

/// The objects of a pickle.
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

    /// Returns the pickled object.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Returns the object `id`, which must be of this pickle.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }

    /// Returns the string at `id`, if it is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the integer at `id`, if it is one and not negative.
    pub fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Returns the items of the tuple or list at `id`.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the class name and the arguments of the call at `id`.
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
