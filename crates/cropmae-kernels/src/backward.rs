//! Differentiation: candle's `backward` plus the weight gradients that the ops accumulate in place.
//!
//! candle gives every edge of the graph a zero tensor and an allocating add, and its custom ops take
//! three inputs at most. So an op that owns weights does not return their gradients to candle: it adds
//! them, with one product that accumulates, to buffers that `Gradients` holds. While `Gradients` runs
//! the backward pass these buffers are installed for the thread; an op that finds none fails, so that
//! `Tensor::backward` cannot lose a weight's gradient unnoticed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, bail};

use crate::cpu;

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

/// Sums of gradients over several losses.
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
    pub fn get(&self, var: &Tensor) -> Option<&Tensor> {
        self.sums.get(&var.id())
    }

    /// Makes a copy of `grad` the sum for `var`, as in going on where another process stopped.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn set(&mut self, var: &Tensor, grad: &Tensor) -> Result<()> {
        let grad = grad.copy()?.contiguous()?.detach();
        self.sums.insert(var.id(), grad);
        Ok(())
    }

    /// Sets all sums to zero. Their memory is free for the activations of the next forward pass, which are
    /// gone when the next backward pass wants it back.
    pub fn clear(&mut self) {
        self.sums.clear();
    }
}

/// Delivers the gradient of `weight`. `write(sums, beta)` must set `sums` to `beta` * `sums` + gradient
/// and not read `sums` when `beta` is 0.
///
/// A variable's gradient goes to the installed sums, that of another op's result is returned for candle
/// to pass on, and for a constant `write` is not called.
pub(crate) fn weight_gradient(
    op: &'static str,
    weight: &Tensor,
    write: impl FnOnce(&mut [f32], f32),
) -> Result<Option<Tensor>> {
    if weight.is_variable() {
        add_to_sum(op, weight, write)?;
        return Ok(None);
    }
    if !weight.track_op() {
        return Ok(None);
    }
    let mut grad = cpu::output(weight.elem_count());
    write(&mut grad, 0.0);
    Tensor::from_vec(grad, weight.shape(), weight.device()).map(Some)
}

/// Refuses a weight whose gradient could not be delivered: an op with more weights than candle gives it
/// inputs can only serve variables and constants.
pub(crate) fn check_leaf(op: &'static str, name: &str, weight: &Tensor) -> Result<()> {
    if weight.track_op() && !weight.is_variable() {
        bail!(
            "{op}: {name} is the result of another op, its gradient would be lost: \
             pass the variable itself, or detach it"
        );
    }
    Ok(())
}

/// The weight to give candle as an input of an op that captures `weights`, so that the op's backward pass
/// runs even if no other input is tracked.
pub(crate) fn anchor<'a>(weights: &[&'a Tensor]) -> &'a Tensor {
    weights
        .iter()
        .find(|weight| weight.track_op())
        .unwrap_or(&weights[0])
}

fn add_to_sum(
    op: &'static str,
    weight: &Tensor,
    write: impl FnOnce(&mut [f32], f32),
) -> Result<()> {
    // The borrow ends before `write`: while its parallel parts wait, this thread may run other tasks.
    let (grad, beta) = INSTALLED.with_borrow_mut(|sums| {
        let Some(sums) = sums else {
            bail!("{op}: differentiate with cropmae_kernels::backward, not Tensor::backward");
        };
        Ok(match sums.entry(weight.id()) {
            Entry::Occupied(entry) => (entry.get().clone(), 1.0),
            Entry::Vacant(entry) => {
                let buffer = cpu::output(weight.elem_count());
                let grad = Tensor::from_vec(buffer, weight.shape(), weight.device())?;
                (entry.insert(grad).clone(), 0.0)
            }
        })
    })?;
    cpu::write(op, &grad, |data| write(data, beta))
}
