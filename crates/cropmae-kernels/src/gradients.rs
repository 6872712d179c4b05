//! Differentiates losses with candle's `backward` and accumulates the gradients of weights in place.
//!
//! candle allocates a zero tensor and adds to it for every edge of the graph, and its custom ops have at most three
//! inputs. Therefore an op with weights does not return their gradients to candle. Instead, it requests the [`Slot`] of
//! each weight, and its backend adds the gradient to the tensor of the slot. While `Gradients` runs the backward pass,
//! the slots are available in the thread. An op that finds none returns an error, so that `Tensor::backward` cannot
//! silently lose the gradient of a weight.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, Var, bail};

/// Returns the gradients of `loss` (a scalar) for every variable that it depends on.
///
/// Always differentiate with this function or with [`Gradients`], never with `Tensor::backward`.
///
/// # Errors
/// Returns an error if an op of the graph cannot be differentiated.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let mut gradients = Gradients::new();
    gradients.accumulate(loss)?;
    let mut store = GradStore::default();
    for (id, grad) in gradients.sums {
        store.insert_id(id, grad);
    }
    Ok(store)
}

/// The sums of gradients over several losses, as one contiguous tensor for each weight.
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
    /// The sums of the backward pass that is running on this thread.
    static INSTALLED: RefCell<Option<Sums>> = const { RefCell::new(None) };
}

/// A guard that moves the sums back from the thread, even if the backward pass fails or unwinds.
struct Installed<'a>(&'a mut Sums);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        *self.0 = INSTALLED.take().unwrap_or_default();
    }
}

impl Gradients {
    /// Creates empty sums.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the gradients of `loss` (a scalar) for every variable that it depends on.
    ///
    /// # Errors
    /// Returns an error if an op of the graph cannot be differentiated. The sums are then incomplete, and must be
    /// cleared with [`Self::clear`].
    pub fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        if INSTALLED.with_borrow(Option::is_some) {
            bail!("backward: already running on this thread, it cannot be nested");
        }
        INSTALLED.set(Some(mem::take(&mut self.sums)));
        let installed = Installed(&mut self.sums);
        let mut store = loss.backward()?;
        drop(installed);
        // The store of candle also contains gradients of constants, but only variables are needed.
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

    /// Returns the sum for `var`, or `None` if no loss since the last [`Self::clear`] depended on it.
    ///
    /// Later calls of [`Self::accumulate`] overwrite the memory of the tensor, so copy it to keep it.
    #[must_use]
    pub fn get(&self, var: &Tensor) -> Option<&Tensor> {
        self.sums.get(&var.id())
    }

    /// Returns the sums for `vars`, in the order of `vars`.
    ///
    /// If the variables are sorted by name, the order is the same on every rank.
    pub fn tensors<'a>(
        &'a self,
        vars: impl IntoIterator<Item = &'a Var>,
    ) -> impl Iterator<Item = Option<&'a Tensor>> {
        vars.into_iter().map(|var| self.get(var))
    }

    /// Sets the sum for `var` to a copy of `grad`, to continue where another process stopped.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn set(&mut self, var: &Tensor, grad: &Tensor) -> Result<()> {
        let grad = grad.copy()?.contiguous()?.detach();
        self.sums.insert(var.id(), grad);
        Ok(())
    }

    /// Discards all sums. The next forward pass can reuse their memory for activations.
    pub fn clear(&mut self) {
        self.sums.clear();
    }
}

/// The place where an op writes the gradient of a weight.
pub(crate) struct Slot {
    /// A contiguous tensor with the shape of the weight. The op sets it to `beta` times itself plus the gradient.
    pub(crate) tensor: Tensor,
    /// The factor of the present values: 0 for the first gradient, and 1 for all others.
    pub(crate) beta: f32,
    installed: bool,
}

impl Slot {
    /// Returns the value that the backward pass of the op returns to candle after writing the slot.
    ///
    /// It is `None` for a variable, whose sum stays here, and the gradient for the result of another op.
    pub(crate) fn returned(self) -> Option<Tensor> {
        (!self.installed).then_some(self.tensor)
    }
}

/// Returns the slot for the gradient of `weight`, or `None` for a constant, which has no gradient.
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

/// Returns the weight that must be an input of an op that captures `weights`.
///
/// With this input, candle runs the backward pass of the op even if no other input is tracked.
pub(crate) fn anchor<'a>(weights: &[&'a Tensor]) -> &'a Tensor {
    weights
        .iter()
        .find(|weight| weight.track_op())
        .unwrap_or(&weights[0])
}
