//! Copies of batches by a stream of their own, from memory that the operating system does not move.
//!
//! Memory is kept in slots, one for each batch that is in use at the same time. A slot's copies start when the work that
//! used its last batch has ended, and the work that is asked for next waits for them; the CPU waits for neither.

use std::fmt;
use std::mem::{size_of, size_of_val};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaStream, DevicePtr, PinnedHostSlice, result, sys,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::op::BackpropOp;
use candle_core::{DType, Error, Result, Shape, Storage, Tensor, bail};

use crate::args::HostValues;

/// A stream beside the one that computes.
///
/// It is not one of cudarc's, because these would make it track each tensor by events, also those of the other stream.
struct Copies {
    stream: Arc<CudaStream>,
    raw: sys::CUstream,
}

// SAFETY: the driver allows calls for a stream from any thread.
unsafe impl Send for Copies {}
// SAFETY: as above.
unsafe impl Sync for Copies {}

impl Copies {
    fn new(compute: &CudaStream) -> Result<Self> {
        let context = compute.context();
        context.bind_to_thread().map_err(Error::wrap)?;
        let raw =
            result::stream::create(result::stream::StreamKind::NonBlocking).map_err(Error::wrap)?;
        Ok(Self {
            // SAFETY: the stream belongs to this context, and `Copies` keeps it until nobody uses it.
            stream: unsafe { context.wrap_borrowed_stream(raw) },
            raw,
        })
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // SAFETY: the stream is not used again; copies that have begun are finished. An error loses nothing.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// Memory for a tensor on both sides.
struct Place {
    pinned: PinnedHostSlice<u8>,
    tensor: Tensor,
    address: u64,
}

/// Memory for a batch.
#[derive(Default)]
struct Slot {
    /// In the order in which they are added.
    places: Vec<Place>,
    /// After the copies of the last batch.
    arrived: Option<CudaEvent>,
    /// After the work on the last batch.
    used: Option<CudaEvent>,
    in_use: bool,
}

/// The slots of a device.
pub(crate) struct Uploads {
    device: CudaDevice,
    compute: Arc<CudaStream>,
    copies: Arc<Copies>,
    slots: Vec<Arc<Mutex<Slot>>>,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uploads of {} slots", self.slots.len())
    }
}

fn lock(slot: &Mutex<Slot>) -> std::sync::MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Uploads {
    pub(crate) fn new(device: &CudaDevice) -> Result<Self> {
        let compute = device.cuda_stream();
        Ok(Self {
            device: device.clone(),
            copies: Arc::new(Copies::new(&compute)?),
            compute,
            slots: Vec::new(),
        })
    }

    /// Takes a slot that no batch uses.
    pub(crate) fn begin(&mut self) -> Result<BatchUpload<'_>> {
        let free = self.slots.iter().find(|slot| !lock(slot).in_use).cloned();
        let slot = free.unwrap_or_else(|| {
            let slot = Arc::<Mutex<Slot>>::default();
            self.slots.push(slot.clone());
            slot
        });
        {
            let mut slot = lock(&slot);
            slot.in_use = true;
            // The memory of the program is overwritten: this copy was asked for at least one batch ago.
            if let Some(arrived) = slot.arrived.take() {
                arrived.synchronize().map_err(Error::wrap)?;
            }
            if let Some(used) = slot.used.take() {
                self.copies.stream.wait(&used).map_err(Error::wrap)?;
            }
        }
        Ok(BatchUpload {
            uploads: self,
            slot,
            next: 0,
        })
    }
}

/// A batch on its way.
pub(crate) struct BatchUpload<'a> {
    uploads: &'a Uploads,
    slot: Arc<Mutex<Slot>>,
    next: usize,
}

impl fmt::Debug for BatchUpload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a batch of {} tensors so far", self.next)
    }
}

impl BatchUpload<'_> {
    /// Starts the copy of a tensor.
    pub(crate) fn add(&mut self, values: HostValues, shape: Shape) -> Result<Tensor> {
        let bytes = bytes(values);
        if shape.elem_count() * values.dtype().size_in_bytes() != bytes.len() {
            bail!("{} bytes for a tensor of shape {shape:?}", bytes.len());
        }
        let mut slot = lock(&self.slot);
        let fits = slot.places.get(self.next).is_some_and(|place| {
            place.tensor.dtype() == values.dtype() && place.tensor.shape() == &shape
        });
        if !fits {
            slot.places.truncate(self.next);
            slot.places.push(self.place(values.dtype(), shape)?);
        }
        let place = &mut slot.places[self.next];
        self.next += 1;
        let pinned = place.pinned.as_mut_slice().map_err(Error::wrap)?;
        let pinned = &mut pinned[..bytes.len()];
        pinned.copy_from_slice(bytes);
        // SAFETY: the address is that of a tensor of as many bytes, which lives in the slot. The pinned memory is not
        // written before the event `arrived`.
        unsafe { result::memcpy_htod_async(place.address, pinned, self.uploads.copies.raw) }
            .map_err(Error::wrap)?;
        Ok(place.tensor.clone())
    }

    /// New memory for a tensor.
    fn place(&self, dtype: DType, shape: Shape) -> Result<Place> {
        let Uploads {
            device,
            compute,
            copies,
            ..
        } = self.uploads;
        // An allocation of nothing is an error of the driver.
        let len = shape.elem_count().max(1);
        macro_rules! alloc {
            ($type:ty) => {{
                // SAFETY: the copy writes it before anybody reads it.
                let slice = unsafe { device.alloc::<$type>(len)? };
                let address = slice.device_ptr(compute).0;
                (CudaStorage::wrap_cuda_slice(slice, device.clone()), address)
            }};
        }
        let (storage, address) = match dtype {
            DType::U8 => alloc!(u8),
            DType::U32 => alloc!(u32),
            DType::F32 => alloc!(f32),
            other => bail!("no uploads of {other:?}"),
        };
        // The memory is there once the computing stream has got to here.
        copies.stream.join(compute).map_err(Error::wrap)?;
        let size = len * dtype.size_in_bytes();
        // SAFETY: it is written before it is read.
        let pinned = unsafe { compute.context().alloc_pinned::<u8>(size) }.map_err(Error::wrap)?;
        let storage = Storage::Cuda(storage);
        Ok(Place {
            pinned,
            tensor: Tensor::from_storage(storage, shape, BackpropOp::none(), false),
            address,
        })
    }

    /// Lets the work that is asked for from now on wait for the copies.
    pub(crate) fn finish(self) -> Result<Lease> {
        let Uploads {
            compute, copies, ..
        } = self.uploads;
        let arrived = copies.stream.record_event(None).map_err(Error::wrap)?;
        compute.wait(&arrived).map_err(Error::wrap)?;
        lock(&self.slot).arrived = Some(arrived);
        Ok(Lease {
            slot: self.slot,
            compute: compute.clone(),
            _copies: copies.clone(),
        })
    }
}

/// The right to use a slot.
pub(crate) struct Lease {
    slot: Arc<Mutex<Slot>>,
    compute: Arc<CudaStream>,
    _copies: Arc<Copies>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Without an event nobody knows when the memory is free, and the slot stays in use.
        if let Ok(used) = self.compute.record_event(None) {
            let mut slot = lock(&self.slot);
            slot.used = Some(used);
            slot.in_use = false;
        }
    }
}

/// The memory of values.
fn bytes(values: HostValues<'_>) -> &[u8] {
    fn of<T>(values: &[T]) -> &[u8] {
        debug_assert!(size_of::<T>() > 0);
        // SAFETY: any memory of numbers is bytes.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
    }
    match values {
        HostValues::U8(values) => values,
        HostValues::U32(values) => of(values),
        HostValues::F32(values) => of(values),
    }
}
