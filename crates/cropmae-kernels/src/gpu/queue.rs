//! What ops ask of a device: memory, launches of kernels, and matrix products, in the order of the calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use candle_core::op::BackpropOp;
use candle_core::{DType, Device, DeviceLocation, Result, Shape, Storage, Tensor, bail};

use crate::compute::Compute;

/// A device that runs kernels. Work is done in the order in which it is asked for.
pub(super) trait Driver: Send + Sync {
    /// Memory for `len` elements, not cleared.
    fn alloc(&self, dtype: DType, len: usize) -> Result<Storage>;

    /// Runs a kernel of the text that was compiled for `compute`.
    fn launch(
        &self,
        compute: Compute,
        kernel: &'static str,
        grid: Grid,
        args: &mut [Arg],
    ) -> Result<()>;

    /// Computes a matrix product.
    fn product(&self, product: &Product, out: Arg) -> Result<()>;
}

/// How many blocks a launch has, and how many threads each of them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Grid {
    x: i32,
    y: i32,
    z: i32,
    threads: i32,
}

impl Grid {
    /// Blocks in one row.
    pub(super) fn row(blocks: usize, threads: usize) -> Result<Self> {
        Self::new([blocks, 1, 1], threads)
    }

    /// Blocks in three dimensions, of which devices take 65,535 in the second and the third.
    pub(super) fn new(blocks: [usize; 3], threads: usize) -> Result<Self> {
        let [x, y, z] = blocks;
        if y.max(z) > 65_535 {
            bail!("a launch of {x} x {y} x {z} blocks: use smaller batches");
        }
        Ok(Self {
            x: int(x)?,
            y: int(y)?,
            z: int(z)?,
            threads: int(threads)?,
        })
    }
}

#[cfg(feature = "cuda")]
impl Grid {
    /// Blocks and threads.
    pub(super) fn parts(self) -> ([u32; 3], u32) {
        // Made of sizes that fit.
        (
            [self.x, self.y, self.z].map(i32::unsigned_abs),
            self.threads.unsigned_abs(),
        )
    }
}

/// A size as kernels take it.
pub(super) fn int(size: usize) -> Result<i32> {
    match i32::try_from(size) {
        Ok(size) => Ok(size),
        Err(_) => bail!("a tensor of {size} elements is more than the kernels can index"),
    }
}

/// Memory that an op has made and fills.
pub(crate) struct Buffer {
    pub(super) storage: Storage,
    pub(super) dtype: DType,
    shape: Shape,
}

impl Buffer {
    /// The filled memory as a tensor without a history.
    pub(super) fn into_tensor(self) -> Tensor {
        Tensor::from_storage(self.storage, self.shape, BackpropOp::none(), false)
    }

    /// The filled memory and its shape.
    pub(super) fn into_parts(self) -> (Storage, Shape) {
        (self.storage, self.shape)
    }

    /// One element without dimensions.
    pub(super) fn scalar(self) -> Self {
        Self {
            shape: ().into(),
            ..self
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shape.elem_count()
    }
}

/// An argument of a kernel, in the order of its parameters.
pub(super) enum Arg<'a> {
    /// A contiguous tensor that is read.
    In(&'a Tensor),
    /// Memory that is written.
    Out(&'a mut Buffer),
    /// A contiguous tensor that is changed in place.
    Update(&'a Tensor),
    /// Contiguous tensors that are read.
    InList(&'a [&'a Tensor]),
    /// Contiguous tensors that are changed in place.
    UpdateList(&'a [&'a Tensor]),
    /// A number of elements, rows or the like.
    Size(usize),
    /// A number.
    Float(f32),
    /// 32 bits.
    Word(u32),
    /// 64 bits.
    Long(u64),
}

/// A matrix in row-major order, maybe to be read the other way around.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) tensor: &'a Tensor,
    /// Rows and columns as it lies in memory.
    pub(super) shape: (usize, usize),
    pub(super) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// All dimensions but the last are rows.
    pub(super) fn rows(tensor: &'a Tensor) -> Result<Self> {
        let cols = tensor.dim(candle_core::D::Minus1)?;
        Ok(Self {
            tensor,
            shape: (tensor.elem_count() / cols.max(1), cols),
            transposed: false,
        })
    }

    pub(super) fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// Rows and columns as it is read.
    pub(super) fn dims(&self) -> (usize, usize) {
        let (rows, cols) = self.shape;
        if self.transposed {
            (cols, rows)
        } else {
            (rows, cols)
        }
    }
}

/// `left` `right` + `bias` + `plus`.
pub(super) struct Product<'a> {
    pub(super) left: Matrix<'a>,
    pub(super) right: Matrix<'a>,
    /// Added to each row.
    pub(super) bias: Option<&'a Tensor>,
    pub(super) plus: Plus<'a>,
}

/// What is added to a product.
#[derive(Clone, Copy)]
pub(super) enum Plus<'a> {
    Nothing,
    /// What stands in the output, in f32.
    Output,
    /// Another f32 tensor of the output's size.
    Tensor(&'a Tensor),
}

/// What runs kernels on `device`.
fn driver(device: &Device) -> Result<Arc<dyn Driver>> {
    #[cfg(feature = "emulated")]
    if device.is_cpu() {
        return Ok(Arc::new(super::emulator::Emulator::current()));
    }
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return Ok(Arc::new(super::cuda::Cuda::of(device)?));
    }
    let place = device.location();
    bail!("no kernels were compiled in for {place:?}: build with the feature of the device")
}

/// Lists of sizes that are kept on devices.
const MOST_SIZES: usize = 256;

thread_local! {
    static SIZES: RefCell<HashMap<(DeviceLocation, Vec<i32>), Tensor>> = RefCell::default();
}

/// A device and the precision of an op's products on it.
#[derive(Clone)]
pub(crate) struct Queue {
    driver: Arc<dyn Driver>,
    device: Device,
    pub(super) compute: Compute,
}

impl Queue {
    pub(super) fn of(device: &Device, compute: Compute) -> Result<Self> {
        let driver = driver(device)?;
        Ok(Self {
            driver,
            device: device.clone(),
            compute,
        })
    }

    /// The type of the operands of products.
    pub(super) fn elem(&self) -> DType {
        match self.compute {
            Compute::F32 => DType::F32,
            Compute::Bf16 => DType::BF16,
        }
    }

    /// Memory for f32.
    pub(super) fn float(&self, shape: impl Into<Shape>) -> Result<Buffer> {
        self.buffer(DType::F32, shape)
    }

    /// Memory for operands of products.
    pub(super) fn operand(&self, shape: impl Into<Shape>) -> Result<Buffer> {
        self.buffer(self.elem(), shape)
    }

    /// Memory for 32 bits.
    pub(super) fn words(&self, shape: impl Into<Shape>) -> Result<Buffer> {
        self.buffer(DType::U32, shape)
    }

    fn buffer(&self, dtype: DType, shape: impl Into<Shape>) -> Result<Buffer> {
        let shape = shape.into();
        int(shape.elem_count())?;
        Ok(Buffer {
            storage: self.driver.alloc(dtype, shape.elem_count())?,
            dtype,
            shape,
        })
    }

    /// Numbers of elements, rows and the like as a tensor. They follow from shapes, so that each step asks for the same
    /// ones, and they are moved to the device once.
    pub(super) fn sizes(&self, values: &[usize]) -> Result<Tensor> {
        let values = values.iter().map(|&value| int(value));
        let values = values.collect::<Result<Vec<i32>>>()?;
        SIZES.with_borrow_mut(|known| {
            let key = (self.device.location(), values);
            if let Some(sizes) = known.get(&key) {
                return Ok(sizes.clone());
            }
            let sizes = Tensor::new(key.1.as_slice(), &self.device)?;
            if known.len() == MOST_SIZES {
                known.clear();
            }
            known.insert(key, sizes.clone());
            Ok(sizes)
        })
    }

    /// Numbers as a tensor.
    pub(super) fn floats(&self, values: &[f32]) -> Result<Tensor> {
        Tensor::new(values, &self.device)
    }

    /// A tensor for a parameter that a kernel does not read in this launch.
    pub(super) fn unused(&self, dtype: DType) -> Result<Tensor> {
        Tensor::zeros(1, dtype, &self.device)
    }

    /// Runs a kernel on blocks of `grid`.
    pub(super) fn launch<'a>(
        &self,
        kernel: &'static str,
        grid: Grid,
        mut args: impl AsMut<[Arg<'a>]>,
    ) -> Result<()> {
        self.driver
            .launch(self.compute, kernel, grid, args.as_mut())
    }

    pub(super) fn product(&self, product: &Product, out: Arg) -> Result<()> {
        self.driver.product(product, out)
    }
}
