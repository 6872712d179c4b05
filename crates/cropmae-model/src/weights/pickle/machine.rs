//! The operations of a pickle, one by one.

use std::collections::HashMap;

use super::{Id, Object, Pickle, PickleError};

/// The maximum number of objects in a pickle, a thousand times that of a large checkpoint.
const MAX_OBJECTS: usize = 4_000_000;

/// The stack machine that runs a pickle.
pub(super) struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// The heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

type Step<T> = Result<T, String>;

impl<'b> Machine<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Runs the program to its end.
    pub fn run(mut self) -> Result<Pickle, PickleError> {
        match self.stop() {
            Ok(root) => Ok(Pickle {
                objects: self.objects,
                root,
            }),
            Err(problem) => Err(PickleError {
                at: self.at,
                problem,
            }),
        }
    }

    fn stop(&mut self) -> Step<Id> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(), // STOP
                operation => self.step(operation)?,
            }
        }
    }

    fn step(&mut self, operation: u8) -> Step<()> {
        match operation {
            // PROTO, FRAME
            0x80 => match self.byte()? {
                2..=5 => Ok(()),
                version => Err(format!("pickle protocol {version}, expected 2 to 5")),
            },
            0x95 => self.take(8).map(drop),
            // Constants
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Bool(true)),
            0x89 => self.push(Object::Bool(false)),
            b'K' => self.integer(1),
            b'M' => self.integer(2),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()))
            }
            0x8a => {
                let length = self.length(1)?;
                self.long(length)
            }
            0x8b => {
                let length = self.length(4)?;
                self.long(length)
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Object::Float(value))
            }
            // Strings and bytes, whose lengths take 1, 4 or 8 bytes
            0x8c => self.text(1),
            b'X' => self.text(4),
            0x8d => self.text(8),
            b'U' | b'C' => self.opaque(1),
            b'T' | b'B' => self.opaque(4),
            0x8e | 0x96 => self.opaque(8),
            // Containers
            b')' => self.push(Object::Tuple(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            0x8f => self.push(Object::Opaque), // EMPTY_SET
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items))
            }
            0x85..=0x87 => {
                let count = usize::from(operation - 0x84);
                let from = self.height(count)?;
                let items = self.stack.split_off(from);
                self.push(Object::Tuple(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)
            }
            0x90 => self.pop_to_mark().map(drop), // ADDITEMS, to a set
            0x91 => {
                self.pop_to_mark()?;
                self.push(Object::Opaque) // FROZENSET
            }
            // Stack and memo
            b'0' => self.pop().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push_id(top)
            }
            b'q' => {
                let key = self.byte()?.into();
                self.memoize(key)
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.memoize(key)
            }
            0x94 => {
                let key = u32::try_from(self.memo.len()).map_err(|_| "the memo is full")?;
                self.memoize(key)
            }
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)
            }
            // Classes, calls and persistent ids
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.push(Object::Class(name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) =
                    (self.object(module), self.object(name))
                else {
                    return Err("a class whose name is not a string".to_owned());
                };
                let name = format!("{module}.{name}");
                self.push(Object::Class(name))
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)
            }
            b'b' => {
                let state = self.pop()?;
                let top = self.top()? as usize;
                // The state of a dictionary holds its attributes, which are not needed.
                if let Object::Call { state: kept, .. } = &mut self.objects[top] {
                    *kept = Some(state);
                }
                Ok(())
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id))
            }
            unknown => Err(format!(
                "operation {unknown:#04x}, which torch.save never writes"
            )),
        }
    }

    fn call(&mut self, callee: Id, args: Id) -> Step<()> {
        const DICTS: [&str; 4] = [
            "collections.OrderedDict",
            "collections.defaultdict",
            "builtins.dict",
            "__builtin__.dict",
        ];
        match self.object(callee) {
            Object::Class(name) if DICTS.contains(&name.as_str()) => {
                self.push(Object::Dict(Vec::new()))
            }
            _ => self.push(Object::Call {
                callee,
                args,
                state: None,
            }),
        }
    }

    /// Appends items to the list on top of the stack. Other objects, such as those of subclasses of lists, are opaque
    /// and ignore them.
    fn append(&mut self, items: &[Id]) -> Step<()> {
        let top = self.top()? as usize;
        if let Object::List(list) = &mut self.objects[top] {
            list.extend_from_slice(items);
        }
        Ok(())
    }

    /// Adds alternating keys and values to the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let top = self.top()? as usize;
        if let Object::Dict(dict) = &mut self.objects[top] {
            dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    fn object(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }

    fn push(&mut self, object: Object) -> Step<()> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(format!("more than {MAX_OBJECTS} objects"));
        }
        let id = self.objects.len() as Id;
        self.objects.push(object);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Step<()> {
        self.stack.push(id);
        Ok(())
    }

    /// Returns the height of the stack without its top `count` objects, which must all be above the last mark.
    fn height(&self, count: usize) -> Step<usize> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= bottom => Ok(height),
            _ => Err("an operation on an empty stack".to_owned()),
        }
    }

    fn top(&self) -> Step<Id> {
        Ok(self.stack[self.height(1)?])
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn memoize(&mut self, key: u32) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Step<()> {
        match self.memo.get(&key) {
            Some(&id) => self.push_id(id),
            None => Err(format!("memo entry {key} was never set")),
        }
    }

    fn take(&mut self, count: usize) -> Step<&'b [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or("it ends too early")?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads an unsigned number of `bytes` bytes.
    fn length(&mut self, bytes: usize) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..bytes].copy_from_slice(self.take(bytes)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "it ends too early".to_owned())
    }

    fn integer(&mut self, bytes: usize) -> Step<()> {
        let value = self.length(bytes)? as i64;
        self.push(Object::Int(value))
    }

    /// Pushes a signed number of `length` bytes.
    fn long(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?;
        let object = if length <= 8 {
            let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            wide[..length].copy_from_slice(bytes);
            Object::Int(i64::from_le_bytes(wide))
        } else {
            Object::Opaque
        };
        self.push(object)
    }

    fn text(&mut self, width: usize) -> Step<()> {
        let length = self.length(width)?;
        let text = String::from_utf8(self.take(length)?.to_vec())
            .map_err(|_| "a string that is not UTF-8")?;
        self.push(Object::Text(text))
    }

    fn opaque(&mut self, width: usize) -> Step<()> {
        let length = self.length(width)?;
        self.take(length)?;
        self.push(Object::Opaque)
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or("it ends too early")?;
        let line = std::str::from_utf8(&rest[..length])
            .map_err(|_| "a name that is not UTF-8")?
            .to_owned();
        self.at += length + 1;
        Ok(line)
    }
}
