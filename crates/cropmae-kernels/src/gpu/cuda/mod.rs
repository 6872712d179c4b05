//! CUDA: kernels compiled by NVRTC at their first use, and products by cuBLASLt.

mod compile;
mod products;
mod upload;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{
    DevicePtr, LaunchConfig, PushKernelArg, result, sys,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice, DeviceId};
use candle_core::{DType, Error, Result, Storage, Tensor, bail};
use half::bf16;

use super::queue::{Arg, Buffer, Driver, Grid, Product, int};
use crate::compute::Compute;
use products::Products;

pub(crate) use upload::{BatchUpload, Lease, Uploads};

/// A CUDA device with what its launches share.
pub(in crate::gpu) struct Cuda {
    device: CudaDevice,
    shared: Arc<Shared>,
}

/// What is made once for a device.
struct Shared {
    products: Products,
    /// The compiled kernels of each precision.
    ptx: Mutex<HashMap<&'static str, Arc<str>>>,
}

impl Cuda {
    pub(in crate::gpu) fn of(device: &CudaDevice) -> Result<Self> {
        static DEVICES: LazyLock<Mutex<HashMap<DeviceId, Arc<Shared>>>> =
            LazyLock::new(Mutex::default);
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = match devices.get(&device.id()) {
            Some(shared) => shared.clone(),
            None => {
                prepare(device)?;
                let shared = Arc::new(Shared {
                    products: Products::new(device.cuda_stream())?,
                    ptx: Mutex::default(),
                });
                devices.insert(device.id(), shared.clone());
                shared
            }
        };
        Ok(Self {
            device: device.clone(),
            shared,
        })
    }

    /// The kernels of a precision for this device, compiled if they have not been.
    fn ptx(&self, compute: Compute) -> Result<Arc<str>> {
        let mut compiled = self
            .shared
            .ptx
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let module = module(compute);
        if let Some(ptx) = compiled.get(module) {
            return Ok(ptx.clone());
        }
        let stream = self.device.cuda_stream();
        let capability = stream.context().compute_capability().map_err(Error::wrap)?;
        let ptx: Arc<str> = compile::ptx(compute, capability)?.into();
        compiled.insert(module, ptx.clone());
        Ok(ptx)
    }

    /// Where the elements of a contiguous tensor lie. Work on the device's one stream keeps its order, so that the
    /// memory is there until launches that have been made before it is freed have run.
    fn address(&self, tensor: &Tensor) -> Result<u64> {
        let (storage, layout) = tensor.storage_and_layout();
        if !layout.is_contiguous() {
            bail!("a tensor of shape {:?} is not contiguous", tensor.dims());
        }
        let Storage::Cuda(storage) = &*storage else {
            bail!(
                "a tensor is on {:?}, expected the GPU",
                tensor.device().location()
            );
        };
        let offset = layout.start_offset() * tensor.dtype().size_in_bytes();
        Ok(self.start(storage)? + offset as u64)
    }

    fn start(&self, storage: &CudaStorage) -> Result<u64> {
        let stream = self.device.cuda_stream();
        Ok(match &storage.slice {
            CudaStorageSlice::F32(data) => data.device_ptr(&stream).0,
            CudaStorageSlice::BF16(data) => data.device_ptr(&stream).0,
            CudaStorageSlice::U8(data) => data.device_ptr(&stream).0,
            CudaStorageSlice::U32(data) => data.device_ptr(&stream).0,
            CudaStorageSlice::I32(data) => data.device_ptr(&stream).0,
            _ => bail!(
                "the kernels take no tensors of {:?}",
                candle_core::backend::BackendStorage::dtype(storage)
            ),
        })
    }

    fn buffer(&self, buffer: &Buffer) -> Result<u64> {
        match &buffer.storage {
            Storage::Cuda(storage) => self.start(storage),
            _ => bail!("memory of another device"),
        }
    }
}

/// Settings of a device that its work does not wait for.
fn prepare(device: &CudaDevice) -> Result<()> {
    // SAFETY: all work on tensors goes through the device's one stream, and uploads have their own events.
    unsafe { device.disable_event_tracking() };
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().map_err(Error::wrap)?;
    // The driver would give freed memory back to the system each time that a number is read.
    let mut keep = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits.
    unsafe {
        let pool =
            result::device::get_default_mem_pool(context.cu_device()).map_err(Error::wrap)?;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut keep).cast())
            .map_err(Error::wrap)?;
    }
    Ok(())
}

/// The most bytes that the device's tensors have had at one time, if the driver counts them.
pub(crate) fn peak_bytes(device: &CudaDevice) -> Option<u64> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().ok()?;
    let mut bytes = 0u64;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).ok()?;
        result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()).ok()?;
    }
    Some(bytes)
}

/// The name of the compiled kernels of a precision.
fn module(compute: Compute) -> &'static str {
    match compute {
        Compute::F32 => "cropmae_f32",
        Compute::Bf16 => "cropmae_bf16",
    }
}

/// An argument as the driver copies it.
enum Value {
    Address(u64),
    Int(i32),
    Float(f32),
    Word(u32),
}

impl Driver for Cuda {
    fn alloc(&self, dtype: DType, len: usize) -> Result<Storage> {
        let device = &self.device;
        // An allocation of nothing is an error of the driver.
        let len = len.max(1);
        // SAFETY: the memory is written by the launch that it was made for before it is read.
        let storage = unsafe {
            match dtype {
                DType::F32 => {
                    CudaStorage::wrap_cuda_slice(device.alloc::<f32>(len)?, device.clone())
                }
                DType::BF16 => {
                    CudaStorage::wrap_cuda_slice(device.alloc::<bf16>(len)?, device.clone())
                }
                DType::U32 => {
                    CudaStorage::wrap_cuda_slice(device.alloc::<u32>(len)?, device.clone())
                }
                other => bail!("the kernels write no tensors of {other:?}"),
            }
        };
        Ok(Storage::Cuda(storage))
    }

    fn launch(
        &self,
        compute: Compute,
        kernel: &'static str,
        grid: Grid,
        args: &mut [Arg],
    ) -> Result<()> {
        let ptx = self.ptx(compute)?;
        let function = self
            .device
            .get_or_load_custom_func(kernel, module(compute), &ptx)?;
        // Lists of addresses, which must stay until the launch.
        let mut lists = Vec::new();
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(match arg {
                Arg::In(tensor) | Arg::Update(tensor) => Value::Address(self.address(tensor)?),
                Arg::Out(buffer) => Value::Address(self.buffer(buffer)?),
                Arg::InList(tensors) | Arg::UpdateList(tensors) => {
                    let addresses = tensors.iter().map(|tensor| self.address(tensor));
                    let addresses = addresses.collect::<Result<Vec<u64>>>()?;
                    let list = self.device.clone_htod(&addresses)?;
                    let address = list.device_ptr(&self.device.cuda_stream()).0;
                    lists.push(list);
                    Value::Address(address)
                }
                Arg::Size(size) => Value::Int(int(*size)?),
                Arg::Float(value) => Value::Float(*value),
                Arg::Word(value) => Value::Word(*value),
                Arg::Long(value) => Value::Address(*value),
            });
        }
        // The last parameter only ends the list of parameters.
        values.push(Value::Int(0));
        let mut builder = function.builder();
        for value in &values {
            match value {
                Value::Address(value) => builder.arg(value),
                Value::Int(value) => builder.arg(value),
                Value::Float(value) => builder.arg(value),
                Value::Word(value) => builder.arg(value),
            };
        }
        let ([x, y, z], threads) = grid.parts();
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (threads, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the arguments are those of the kernel's parameters: the emulator checks their number and types
        // for the same calls, and their bounds.
        unsafe { builder.launch(config) }.map_err(Error::wrap)?;
        Ok(())
    }

    fn product(&self, product: &Product, out: Arg) -> Result<()> {
        let (to, dtype, len) = match &out {
            Arg::Out(buffer) => (self.buffer(buffer)?, buffer.dtype, buffer.len()),
            Arg::Update(tensor) => (self.address(tensor)?, tensor.dtype(), tensor.elem_count()),
            _ => bail!("a product needs memory to write to"),
        };
        self.shared
            .products
            .run(product, |tensor| self.address(tensor), (to, dtype, len))
    }
}
