//! The emulator: kernels compiled for this machine and run block by block in a seeded, adversarial order.
//!
//! It gets the same launches, buffers and arguments as a device, on tensors in CPU memory. Accesses out of range,
//! races, barriers that not all threads reach, and reads of shared memory that nobody wrote fail the launch, with
//! the kernel, the thread and the element in the error.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem;

use candle_core::{CpuStorage, DType, Result, Storage, StorageRef, Tensor, bail};
use half::bf16;

use super::queue::{Arg, Buffer, Driver, Grid, Matrix, Plus, Product, int};
use crate::compute::Compute;
use crate::cpu::{Mat, MatMut, Threads, gemm, write};

/// How the emulator of this thread runs kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulation {
    /// Chooses the order in which threads and blocks run. A right kernel computes the same with each seed.
    pub seed: u64,
    /// The matrix units of its kernels.
    pub fragments: Fragments,
}

/// The matrix units that the emulator simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragments {
    /// 16 x 8 x 16 in bfloat16, CUDA's mma.sync. In f32 there are none: lanes multiply and add.
    Cuda,
    /// 8 x 8 x 8 in either type, Metal's simdgroup_matrix.
    Metal,
}

/// What ops have asked of the emulator. Bytes are those of all arguments, once for a launch that reads them and once for
/// one that writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Launches of kernels.
    pub launches: u64,
    /// What these launches move.
    pub kernel_bytes: u64,
    /// Matrix products, which a device launches, too.
    pub products: u64,
    /// Multiplications and additions of the products.
    pub product_flops: u64,
    /// What the products move.
    pub product_bytes: u64,
}

thread_local! {
    static WORK: Cell<Work> = Cell::default();
    static CURRENT: Cell<Emulation> = const {
        Cell::new(Emulation {
            seed: 0,
            fragments: Fragments::Cuda,
        })
    };
}

impl Default for Emulation {
    fn default() -> Self {
        Self {
            seed: 0,
            fragments: Fragments::Cuda,
        }
    }
}

impl Emulation {
    /// Returns what this thread has asked of the emulator since the last call.
    #[must_use]
    pub fn take_work() -> Work {
        WORK.take()
    }

    /// Runs `f` with `self` for the ops that this thread calls inside of it, and for their backward passes.
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(self);
        let result = f();
        CURRENT.set(before);
        result
    }
}

/// The emulator of an op.
pub(super) struct Emulator(Emulation);

impl Emulator {
    pub(super) fn current() -> Self {
        Self(CURRENT.get())
    }
}

/// `EmulatedArgument` of `registry.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Argument {
    kind: i32,
    element: i32,
    data: *mut c_void,
    length: i64,
}

impl Argument {
    const ARRAY: i32 = 0;
    const LIST: i32 = 1;
    const VALUE: i32 = 2;

    fn array(dtype: DType, data: *mut c_void, length: usize) -> Result<Self> {
        Ok(Self {
            kind: Self::ARRAY,
            element: element(dtype)?,
            data,
            length: i64::from(int(length)?),
        })
    }
}

/// `Type` of `registry.h`.
fn element(dtype: DType) -> Result<i32> {
    Ok(match dtype {
        DType::F32 => 0,
        DType::BF16 => 1,
        DType::U8 => 2,
        DType::U32 => 3,
        DType::I32 => 4,
        other => bail!("the kernels take no tensors of {other:?}"),
    })
}

type Run = unsafe extern "C" fn(
    *const c_char,
    *const Grid,
    u64,
    *const Argument,
    usize,
    *mut c_char,
    usize,
) -> i32;

unsafe extern "C" {
    fn cropmae_emulate_f32(
        kernel: *const c_char,
        grid: *const Grid,
        seed: u64,
        arguments: *const Argument,
        count: usize,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn cropmae_emulate_bf16(
        kernel: *const c_char,
        grid: *const Grid,
        seed: u64,
        arguments: *const Argument,
        count: usize,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn cropmae_emulate_f32_metal(
        kernel: *const c_char,
        grid: *const Grid,
        seed: u64,
        arguments: *const Argument,
        count: usize,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn cropmae_emulate_bf16_metal(
        kernel: *const c_char,
        grid: *const Grid,
        seed: u64,
        arguments: *const Argument,
        count: usize,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
}

impl Driver for Emulator {
    /// All bits of the memory are set, which is NaN in floats.
    fn alloc(&self, dtype: DType, len: usize) -> Result<Storage> {
        Ok(Storage::Cpu(match dtype {
            DType::F32 => CpuStorage::F32(vec![f32::from_bits(u32::MAX); len]),
            DType::BF16 => CpuStorage::BF16(vec![bf16::from_bits(u16::MAX); len]),
            DType::U32 => CpuStorage::U32(vec![u32::MAX; len]),
            other => bail!("the kernels write no tensors of {other:?}"),
        }))
    }

    fn launch(
        &self,
        compute: Compute,
        kernel: &'static str,
        grid: Grid,
        args: &mut [Arg],
    ) -> Result<()> {
        let run: Run = match (compute, self.0.fragments) {
            (Compute::F32, Fragments::Cuda) => cropmae_emulate_f32,
            (Compute::Bf16, Fragments::Cuda) => cropmae_emulate_bf16,
            (Compute::F32, Fragments::Metal) => cropmae_emulate_f32_metal,
            (Compute::Bf16, Fragments::Metal) => cropmae_emulate_bf16_metal,
        };
        count(|work| {
            work.launches += 1;
            work.kernel_bytes += args.iter().map(bytes).sum::<u64>();
        });
        let updated: Vec<&Tensor> = args.iter().flat_map(updated).collect();
        let mut opened = Vec::with_capacity(updated.len());
        open(&updated, &mut opened, &mut |opened| {
            let arguments = Arguments::new(args, opened)?;
            self.run(run, kernel, grid, &arguments.all)
        })
    }

    fn product(&self, product: &Product, out: Arg) -> Result<()> {
        let (m, k) = product.left.dims();
        let (k2, n) = product.right.dims();
        if k != k2 {
            bail!("a product of matrices of {m} x {k} and {k2} x {n}");
        }
        count(|work| {
            work.products += 1;
            work.product_flops += 2 * (m * n * k) as u64;
            let operands = [product.left.tensor, product.right.tensor];
            let operands = operands.into_iter().chain(product.bias);
            work.product_bytes += operands.map(tensor_bytes).sum::<u64>() + bytes(&out);
            if let Plus::Tensor(tensor) = product.plus {
                work.product_bytes += tensor_bytes(tensor);
            }
        });
        let (left, right) = (values(product.left.tensor)?, values(product.right.tensor)?);
        let bias = product.bias.map(values).transpose()?;
        let plus = !matches!(product.plus, Plus::Nothing);
        let (left, right) = (mat(&product.left, &left), mat(&product.right, &right));
        let multiply = |out: &mut [f32]| {
            gemm(
                MatMut::new(out, m, n),
                if plus { 1.0 } else { 0.0 },
                1.0,
                left,
                right,
                Threads::All,
                Compute::F32,
            );
            if let Some(bias) = &bias {
                for row in out.chunks_exact_mut(n) {
                    for (y, b) in row.iter_mut().zip(bias) {
                        *y += b;
                    }
                }
            }
        };
        match out {
            Arg::Update(tensor) if tensor.elem_count() == m * n => {
                write("product", tensor, multiply)
            }
            Arg::Out(buffer) if buffer.len() == m * n => {
                let mut out = match (product.plus, &mut buffer.storage) {
                    (Plus::Nothing, _) => vec![0.0; m * n],
                    (Plus::Output, Storage::Cpu(CpuStorage::F32(y))) => mem::take(y),
                    (Plus::Output, _) => bail!("a product is added to f32 only"),
                    (Plus::Tensor(tensor), _) => values(tensor)?,
                };
                multiply(&mut out);
                match &mut buffer.storage {
                    Storage::Cpu(CpuStorage::F32(y)) => *y = out,
                    Storage::Cpu(CpuStorage::BF16(y)) => {
                        *y = out.into_iter().map(bf16::from_f32).collect();
                    }
                    _ => bail!("a product into memory of another device"),
                }
                Ok(())
            }
            _ => bail!("a product of {m} x {n} elements into memory of another size"),
        }
    }
}

impl Emulator {
    fn run(
        &self,
        run: Run,
        kernel: &'static str,
        grid: Grid,
        arguments: &[Argument],
    ) -> Result<()> {
        let name = CString::new(kernel).map_err(candle_core::Error::wrap)?;
        let mut message = [0 as c_char; 512];
        // SAFETY: each argument points to as many elements as it says, which are borrowed during the call, and
        // the emulator checks each access against that number. The message ends with 0 inside of its capacity.
        let failed = unsafe {
            run(
                name.as_ptr(),
                &grid,
                self.0.seed,
                arguments.as_ptr(),
                arguments.len(),
                message.as_mut_ptr(),
                message.len(),
            )
        };
        if failed != 0 {
            // SAFETY: as above.
            let message = unsafe { CStr::from_ptr(message.as_ptr()) };
            bail!("kernel {kernel}: {}", message.to_string_lossy());
        }
        Ok(())
    }
}

fn count(add: impl FnOnce(&mut Work)) {
    let mut work = WORK.get();
    add(&mut work);
    WORK.set(work);
}

fn tensor_bytes(tensor: &Tensor) -> u64 {
    (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64
}

/// What a launch moves for an argument.
fn bytes(arg: &Arg) -> u64 {
    match arg {
        Arg::In(tensor) => tensor_bytes(tensor),
        Arg::Out(buffer) => (buffer.len() * buffer.dtype.size_in_bytes()) as u64,
        Arg::Update(tensor) => 2 * tensor_bytes(tensor),
        Arg::InList(tensors) => tensors.iter().map(|tensor| tensor_bytes(tensor)).sum(),
        Arg::UpdateList(tensors) => tensors.iter().map(|tensor| 2 * tensor_bytes(tensor)).sum(),
        Arg::Size(_) | Arg::Float(_) | Arg::Word(_) | Arg::Long(_) => 0,
    }
}

/// The tensors of an argument that are changed in place.
fn updated<'a>(arg: &Arg<'a>) -> Vec<&'a Tensor> {
    match arg {
        Arg::Update(tensor) => vec![tensor],
        Arg::UpdateList(tensors) => tensors.to_vec(),
        _ => Vec::new(),
    }
}

/// Opens `tensors` for writing, one inside of the other, and then calls `then` with all of them.
fn open(
    tensors: &[&Tensor],
    opened: &mut Vec<Argument>,
    then: &mut dyn FnMut(&[Argument]) -> Result<()>,
) -> Result<()> {
    let Some((first, others)) = tensors.split_first() else {
        return then(opened);
    };
    write("emulator", first, |data| {
        opened.push(Argument::array(
            DType::F32,
            data.as_mut_ptr().cast(),
            data.len(),
        )?);
        open(others, opened, then)
    })?
}

/// Arguments of a call, and what they point to.
struct Arguments<'a> {
    all: Vec<Argument>,
    /// Read locks of the tensors.
    _read: Vec<StorageRef<'a>>,
    /// The values, each at an address that stays.
    _values: Vec<Vec<u8>>,
    _lists: Vec<Vec<Argument>>,
}

impl<'a> Arguments<'a> {
    /// `opened` are the tensors that are changed in place, in their order.
    fn new(args: &'a mut [Arg<'_>], opened: &[Argument]) -> Result<Self> {
        let mut this = Self {
            all: Vec::with_capacity(args.len()),
            _read: Vec::new(),
            _values: Vec::new(),
            _lists: Vec::new(),
        };
        let mut opened = opened.iter().copied();
        for arg in args {
            let argument = match arg {
                Arg::In(tensor) => this.read(tensor)?,
                Arg::Out(buffer) => filled(buffer)?,
                Arg::Update(_) => match opened.next() {
                    Some(argument) => argument,
                    None => bail!("a tensor was not opened for writing"),
                },
                Arg::InList(tensors) => {
                    let list = tensors.iter().map(|tensor| this.read(tensor));
                    let list = list.collect::<Result<Vec<_>>>()?;
                    this.list(list)?
                }
                Arg::UpdateList(tensors) => {
                    let list = opened.by_ref().take(tensors.len()).collect();
                    this.list(list)?
                }
                Arg::Size(size) => this.value(4, &int(*size)?.to_ne_bytes()),
                Arg::Float(value) => this.value(0, &value.to_ne_bytes()),
                Arg::Word(value) => this.value(3, &value.to_ne_bytes()),
                Arg::Long(value) => this.value(5, &value.to_ne_bytes()),
            };
            this.all.push(argument);
        }
        Ok(this)
    }

    fn read(&mut self, tensor: &'a Tensor) -> Result<Argument> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("a tensor of shape {:?} is not contiguous", tensor.dims());
        };
        // Arguments that are only read are const in the kernels.
        let data = match &*storage {
            Storage::Cpu(CpuStorage::F32(data)) => data[start..end].as_ptr().cast::<c_void>(),
            Storage::Cpu(CpuStorage::BF16(data)) => data[start..end].as_ptr().cast(),
            Storage::Cpu(CpuStorage::U8(data)) => data[start..end].as_ptr().cast(),
            Storage::Cpu(CpuStorage::U32(data)) => data[start..end].as_ptr().cast(),
            Storage::Cpu(CpuStorage::I32(data)) => data[start..end].as_ptr().cast(),
            _ => bail!("the emulator cannot read {:?}", tensor.dtype()),
        };
        self._read.push(storage);
        Argument::array(tensor.dtype(), data.cast_mut(), end - start)
    }

    fn list(&mut self, list: Vec<Argument>) -> Result<Argument> {
        let argument = Argument {
            kind: Argument::LIST,
            element: 0,
            data: list.as_ptr().cast_mut().cast(),
            length: i64::from(int(list.len())?),
        };
        self._lists.push(list);
        Ok(argument)
    }

    fn value(&mut self, element: i32, bytes: &[u8]) -> Argument {
        let mut value = bytes.to_vec();
        let argument = Argument {
            kind: Argument::VALUE,
            element,
            data: value.as_mut_ptr().cast(),
            length: 1,
        };
        self._values.push(value);
        argument
    }
}

fn filled(buffer: &mut Buffer) -> Result<Argument> {
    let length = buffer.len();
    let data = match &mut buffer.storage {
        Storage::Cpu(CpuStorage::F32(data)) => data.as_mut_ptr().cast(),
        Storage::Cpu(CpuStorage::BF16(data)) => data.as_mut_ptr().cast(),
        Storage::Cpu(CpuStorage::U32(data)) => data.as_mut_ptr().cast(),
        _ => bail!("the emulator cannot write {:?}", buffer.dtype),
    };
    Argument::array(buffer.dtype, data, length)
}

/// The elements of a tensor as f32.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn mat<'a>(matrix: &Matrix, values: &'a [f32]) -> Mat<'a> {
    let (rows, cols) = matrix.shape;
    let mat = Mat::new(values, rows, cols);
    if matrix.transposed { mat.t() } else { mat }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::gpu::queue::Queue;

    /// What the emulator says about a kernel of `faults.h` on two blocks of 128 threads, for several seeds.
    fn faults(kernel: &'static str, extra: impl Fn() -> Vec<Arg<'static>>) -> Vec<String> {
        let x = Tensor::arange(0f32, 256f32, &Device::Cpu).unwrap();
        let run = |seed| {
            let emulation = Emulation {
                seed,
                ..Emulation::default()
            };
            emulation.with(|| {
                let queue = Queue::of(&Device::Cpu, Compute::F32).unwrap();
                let mut y = queue.float(256).unwrap();
                let mut args = vec![Arg::In(&x), Arg::Out(&mut y)];
                args.extend(extra());
                let result = queue.launch(kernel, Grid::row(2, 128).unwrap(), args);
                result.expect_err("a fault is found").to_string()
            })
        };
        (0..20).map(run).collect()
    }

    #[track_caller]
    fn assert_found(kernel: &'static str, words: &[&str]) {
        for message in faults(kernel, Vec::new) {
            assert!(message.contains(kernel), "{message}");
            assert!(words.iter().any(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn emulated_races_are_found_in_every_order_of_the_threads() {
        // Both blocks write the same elements of y, which must not be what is found.
        assert_found("fault_missing_barrier", &["shared warps"]);
        assert_found("fault_second_barrier", &["shared values"]);
        assert_found("fault_missing_simd_barrier", &["shared values"]);
        assert_found("fault_race_across_blocks", &["y[0]"]);
        assert_found("fault_race_of_blocks_with_barriers", &["y[0]"]);
        assert_found("fault_read_of_another_block", &["(block "]);
    }

    #[test]
    fn emulated_barriers_must_be_reached_by_all_threads() {
        assert_found("fault_divergent_barrier", &["waits at the barrier"]);
        assert_found("fault_divergent_shuffle", &["the warp's rendezvous"]);
    }

    #[test]
    fn emulated_memory_is_checked() {
        assert_found("fault_unwritten", &["before it is written"]);
        assert_found("fault_too_much_shared_memory", &["48 KiB"]);
        for message in faults("fault_wrong_stride", || vec![Arg::Size(128)]) {
            assert!(
                message.contains("x[256] outside of its 256 elements"),
                "{message}"
            );
        }
    }

    #[test]
    fn emulated_ids_out_of_range_are_found() {
        let x = Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap();
        let ids = Tensor::new(&[4u32, 5], &Device::Cpu).unwrap();
        let queue = Queue::of(&Device::Cpu, Compute::F32).unwrap();
        let mut y = queue.float(2).unwrap();
        let args = [Arg::In(&x), Arg::In(&ids), Arg::Out(&mut y)];
        let grid = Grid::row(1, 2).unwrap();
        let error = queue
            .launch("fault_id_out_of_range", grid, args)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("touches x[5] outside of its 5 elements"),
            "{error}"
        );
    }

    /// What a device would take for something else.
    #[test]
    fn emulated_arguments_are_checked() {
        let x = Tensor::zeros(128, DType::F32, &Device::Cpu).unwrap();
        let ids = Tensor::zeros(128, DType::U32, &Device::Cpu).unwrap();
        let queue = Queue::of(&Device::Cpu, Compute::F32).unwrap();
        let grid = Grid::row(1, 128).unwrap();
        let launch =
            |kernel, args: Vec<Arg>| queue.launch(kernel, grid, args).unwrap_err().to_string();
        assert!(launch("no_such_kernel", vec![]).contains("no such kernel"));
        assert!(launch("cast", vec![Arg::In(&x)]).contains("got 1 arguments, expected 3"));
        let mut y = queue.float(128).unwrap();
        let wrong = launch(
            "cast",
            vec![Arg::In(&ids), Arg::Out(&mut y), Arg::Size(128)],
        );
        assert!(wrong.contains("argument x has elements of type"), "{wrong}");
        let mut y = queue.float(128).unwrap();
        let wrong = launch("cast", vec![Arg::In(&x), Arg::Out(&mut y), Arg::Float(1.0)]);
        assert!(wrong.contains("argument length"), "{wrong}");
    }
}
