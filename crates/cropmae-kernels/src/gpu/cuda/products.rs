//! Matrix products by cuBLASLt.
//!
//! The library's matrices are column-major: a row-major matrix is the transpose of one that is read that way. So a row-major
//! `left` `right` is computed as the column-major `right`^T `left`^T, and a bias of the columns is one of its rows.

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::size_of;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::cublaslt::{result, sys};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::{DType, Error, Result, Tensor, bail};

use crate::gpu::queue::{Matrix, Plus, Product};

/// Bytes that the library may use besides its operands, as it is advised for recent devices.
const WORKSPACE: usize = 32 << 20;

/// A handle of the library on a stream.
pub(super) struct Products {
    handle: sys::cublasLtHandle_t,
    stream: Arc<CudaStream>,
    workspace: CudaSlice<u8>,
    /// The algorithms that the library advised.
    algorithms: Mutex<HashMap<Shape, sys::cublasLtMatmulAlgo_t>>,
}

// SAFETY: the library allows calls with one handle from several threads; the workspace is used by one stream.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

/// What the choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    rows: usize,
    cols: usize,
    inner: usize,
    transposed: (bool, bool),
    operands: DType,
    out: DType,
    bias: bool,
    plus: bool,
}

impl Products {
    pub(super) fn new(stream: Arc<CudaStream>) -> Result<Self> {
        Ok(Self {
            handle: result::create_handle().map_err(Error::wrap)?,
            // SAFETY: the library writes it before it reads it.
            workspace: unsafe { stream.alloc::<u8>(WORKSPACE) }.map_err(Error::wrap)?,
            stream,
            algorithms: Mutex::default(),
        })
    }

    /// `address` says where a tensor lies; `to` is the output's address, type and length.
    pub(super) fn run(
        &self,
        product: &Product,
        address: impl Fn(&Tensor) -> Result<u64>,
        to: (u64, DType, usize),
    ) -> Result<()> {
        let (to, out, len) = to;
        let ((rows, inner), (inner_too, cols)) = (product.left.dims(), product.right.dims());
        if inner != inner_too || len != rows * cols {
            bail!("a product of {rows} x {inner} and {inner_too} x {cols} into {len} elements");
        }
        let operands = product.left.tensor.dtype();
        if product.right.tensor.dtype() != operands {
            bail!("a product of matrices of different types");
        }
        let shape = Shape {
            rows,
            cols,
            inner,
            transposed: (product.left.transposed, product.right.transposed),
            operands,
            out,
            bias: product.bias.is_some(),
            plus: !matches!(product.plus, Plus::Nothing),
        };
        let from = match product.plus {
            Plus::Tensor(tensor) => address(tensor)?,
            Plus::Output | Plus::Nothing => to,
        };
        let (left, right) = (
            address(product.left.tensor)?,
            address(product.right.tensor)?,
        );
        let description = Description::new()?;
        description.transpose(Operand::A, product.right.transposed)?;
        description.transpose(Operand::B, product.left.transposed)?;
        if let Some(bias) = product.bias {
            description.bias(address(bias)?)?;
        }
        let a = Layout::of(&product.right)?;
        let b = Layout::of(&product.left)?;
        let d = Layout::new(kind(out)?, cols, rows)?;
        let algorithm = self.algorithm(shape, &description, [&a, &b, &d])?;
        let (one, beta) = (1f32, if shape.plus { 1f32 } else { 0f32 });
        let (workspace, _used) = self.workspace.device_ptr(&self.stream);
        // SAFETY: the layouts describe memory of the sizes that have been compared above, all of it on the device of
        // the stream; the descriptors live until the call has returned, which copies them.
        unsafe {
            result::matmul(
                self.handle,
                description.0,
                pointer(&one),
                pointer(&beta),
                right as *const c_void,
                a.0,
                left as *const c_void,
                b.0,
                from as *const c_void,
                d.0,
                to as *mut c_void,
                d.0,
                &raw const algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                self.stream.cu_stream().cast(),
            )
        }
        .map_err(Error::wrap)
    }

    /// The library's first choice, which is the same for the same shapes.
    fn algorithm(
        &self,
        shape: Shape,
        description: &Description,
        [a, b, d]: [&Layout; 3],
    ) -> Result<sys::cublasLtMatmulAlgo_t> {
        let mut algorithms = self
            .algorithms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(algorithm) = algorithms.get(&shape) {
            return Ok(*algorithm);
        }
        let preference = Preference::new()?;
        // SAFETY: all descriptors are alive.
        let heuristic = unsafe {
            result::get_matmul_algo_heuristic(
                self.handle,
                description.0,
                a.0,
                b.0,
                d.0,
                d.0,
                preference.0,
            )
        };
        let Ok(heuristic) = heuristic else {
            bail!("cuBLASLt has no algorithm for {shape:?}");
        };
        algorithms.insert(shape, heuristic.algo);
        Ok(heuristic.algo)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: the handle is not used again. An error cannot be passed on from here and loses nothing.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

fn pointer<T>(value: &T) -> *const c_void {
    std::ptr::from_ref(value).cast()
}

fn kind(dtype: DType) -> Result<sys::cudaDataType> {
    match dtype {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        other => bail!("no products of {other:?}"),
    }
}

enum Operand {
    A,
    B,
}

/// What is computed: sums in f32, without TF32.
struct Description(sys::cublasLtMatmulDesc_t);

impl Description {
    fn new() -> Result<Self> {
        let (sums, scale) = (
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cudaDataType::CUDA_R_32F,
        );
        Ok(Self(
            result::create_matmul_desc(sums, scale).map_err(Error::wrap)?,
        ))
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<()> {
        // SAFETY: the descriptor is alive, and the value has the size that is said.
        unsafe {
            result::set_matmul_desc_attribute(self.0, attribute, pointer(value), size_of::<T>())
        }
        .map_err(Error::wrap)
    }

    fn transpose(&self, operand: Operand, transposed: bool) -> Result<()> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let attribute = match operand {
            Operand::A => Attribute::CUBLASLT_MATMUL_DESC_TRANSA,
            Operand::B => Attribute::CUBLASLT_MATMUL_DESC_TRANSB,
        };
        // CUBLAS_OP_N and CUBLAS_OP_T
        self.set(attribute, &i32::from(transposed))
    }

    /// Adds f32 numbers at `address` to the rows of the column-major result.
    fn bias(&self, address: u64) -> Result<()> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        let kind = sys::cudaDataType::CUDA_R_32F;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &kind)?;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: the descriptor is not used again.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// How a matrix lies in memory, column-major.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(kind: sys::cudaDataType, rows: usize, cols: usize) -> Result<Self> {
        let layout = result::create_matrix_layout(kind, rows as u64, cols as u64, rows as i64);
        Ok(Self(layout.map_err(Error::wrap)?))
    }

    /// A row-major matrix, the other way around.
    fn of(matrix: &Matrix) -> Result<Self> {
        let (rows, cols) = matrix.shape;
        Self::new(kind(matrix.tensor.dtype())?, cols, rows)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: the layout is not used again.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// What the choice of an algorithm must respect.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new() -> Result<Self> {
        let this = Self(result::create_matmul_pref().map_err(Error::wrap)?);
        let attribute =
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: the preference is alive, and the value has the size that is said.
        unsafe {
            result::set_matmul_pref_attribute(
                this.0,
                attribute,
                pointer(&WORKSPACE),
                size_of::<usize>(),
            )
        }
        .map_err(Error::wrap)?;
        Ok(this)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: the preference is not used again.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
