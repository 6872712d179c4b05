//! Differentiation: candle's `backward` plus the weight gradients that ops accumulate in place.
//!
//! candle gives every edge of the graph a zero tensor and an allocating add, and its custom ops take
//! three inputs at most. So an op that owns weights does not return their gradients to candle: it asks for the
//! [`Slot`] of each weight and adds the gradient to the slot's tensor, in whatever way its backend writes
//! tensors. While `Gradients` runs the backward pass, its sums are installed for the thread; an op that finds
//! none fails, so that `Tensor::backward` cannot lose a weight's gradient unnoticed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, Var, bail};

/// Gradients of `loss` for every variable it depends on. Differentiate through this function or
/// `Gradients`, never through `Tensor::backward`.
///
/// # Errors
/// If an op of the graph cannot be differentiated.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let mut gradients = Gradients::new();
    gradients.accumulate(loss)?;
    let mut store = GradStore::default();
    for (id, grad) in gradients.sums {
        store.insert_id(id, grad);
    }
    Ok(store)
}

/// Sums of gradients over several losses, one contiguous tensor for each weight.
///
/// ```
/// # use candle_core::{Device, Tensor, Var};
/// # use cropmae_kernels::Gradients;
/// # fn main() -> candle_core::Result<()> {
/// let weight = Var::from_slice(&[2f32], 1, &Device::Cpu)?;
/// let mut gradients = Gradients::new();
/// for micro_batch in [1.0, 3.0] {
///     gradients.accumulate(&(weight.as_tensor() * micro_batch)?.sum_all()?)?;
/// }
/// assert_eq!(gradients.get(&weight).unwrap().to_vec1::<f32>()?, [4.0]);
/// gradients.clear();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Gradients {
    sums: Sums,
}

type Sums = HashMap<TensorId, Tensor>;

thread_local! {
    /// The sums of the backward pass that runs on this thread.
    static INSTALLED: RefCell<Option<Sums>> = const { RefCell::new(None) };
}

/// Takes the sums back out of the thread, also when the backward pass fails or unwinds.
struct Installed<'a>(&'a mut Sums);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        *self.0 = INSTALLED.take().unwrap_or_default();
    }
}

impl Gradients {
    /// No gradients yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the gradients of `loss` for every variable it depends on.
    ///
    /// # Errors
    /// If an op of the graph cannot be differentiated; the sums are then incomplete: `clear` them.
    pub fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        if INSTALLED.with_borrow(Option::is_some) {
            bail!("backward: already running on this thread, it cannot be nested");
        }
        INSTALLED.set(Some(mem::take(&mut self.sums)));
        let installed = Installed(&mut self.sums);
        let mut store = loss.backward()?;
        drop(installed);
        // candle also leaves gradients of constants in its store; only variables count.
        for node in loss.sorted_nodes() {
            if !node.is_variable() {
                continue;
            }
            let Some(grad) = store.remove(node) else {
                continue;
            };
            let sum = match self.sums.get(&node.id()) {
                Some(sum) => (sum + grad)?.detach(),
                None => grad.contiguous()?,
            };
            self.sums.insert(node.id(), sum);
        }
        Ok(())
    }

    /// The sum for `var`; `None` if no loss since `clear` depended on it.
    ///
    /// The tensor's memory is written again by later calls of `accumulate`: copy it to keep it.
    #[must_use]
    pub fn get(&self, var: &Tensor) -> Option<&Tensor> {
        self.sums.get(&var.id())
    }

    /// The sums for `vars`, in their order: a caller that lists its variables by name gets the sums by name,
    /// the same on every rank.
    pub fn tensors<'a>(
        &'a self,
        vars: impl IntoIterator<Item = &'a Var>,
    ) -> impl Iterator<Item = Option<&'a Tensor>> {
        vars.into_iter().map(|var| self.get(var))
    }

    /// Makes a copy of `grad` the sum for `var`, to continue where another process stopped.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn set(&mut self, var: &Tensor, grad: &Tensor) -> Result<()> {
        let grad = grad.copy()?.contiguous()?.detach();
        self.sums.insert(var.id(), grad);
        Ok(())
    }

    /// Forgets all sums. Their memory is free for the activations of the next forward pass, which are gone
    /// when the next backward pass wants it back.
    pub fn clear(&mut self) {
        self.sums.clear();
    }
}

/// Where an op writes the gradient of a weight.
pub(crate) struct Slot {
    /// A contiguous tensor of the weight's shape. The op sets it to `beta` times itself plus the gradient.
    pub(crate) tensor: Tensor,
    /// 0 for the first gradient, 1 for all others.
    pub(crate) beta: f32,
    installed: bool,
}

impl Slot {
    /// What the op's backward pass returns to candle for the weight, after it has written the slot: nothing for
    /// a variable, whose sum stays here, and the gradient for the result of another op.
    pub(crate) fn returned(self) -> Option<Tensor> {
        (!self.installed).then_some(self.tensor)
    }
}

/// The slot for the gradient of `weight`; `None` for a constant, which has no gradient.
pub(crate) fn slot(op: &'static str, weight: &Tensor) -> Result<Option<Slot>> {
    if !weight.track_op() {
        return Ok(None);
    }
    let zeros = || Tensor::zeros(weight.shape(), weight.dtype(), weight.device());
    if !weight.is_variable() {
        return Ok(Some(Slot {
            tensor: zeros()?,
            beta: 0.0,
            installed: false,
        }));
    }
    let (tensor, beta) = INSTALLED.with_borrow_mut(|sums| {
        let Some(sums) = sums else {
            bail!("{op}: differentiate with cropmae_kernels::backward, not Tensor::backward");
        };
        Ok(match sums.entry(weight.id()) {
            Entry::Occupied(entry) => (entry.get().clone(), 1.0),
            Entry::Vacant(entry) => (entry.insert(zeros()?).clone(), 0.0),
        })
    })?;
    Ok(Some(Slot {
        tensor,
        beta,
        installed: true,
    }))
}

/// The weight to give candle as an input of an op that captures `weights`, so that the op's backward pass
/// runs even if no other input is tracked.
pub(crate) fn anchor<'a>(weights: &[&'a Tensor]) -> &'a Tensor {
    weights
        .iter()
        .find(|weight| weight.track_op())
        .unwrap_or(&weights[0])
}
