//! ONNX Runtime: one session with all graph optimisations, inputs and outputs bound to our memory.
//!
//! Symbolic dimensions are fixed as ours are, which lets it fold what depends on them.

use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::ptr;

use libloading::Library;
use ort_sys::{
    GraphOptimizationLevel, ONNXTensorElementDataType as Onnx, ORT_API_VERSION, OrtAllocatorType, OrtApi,
    OrtApiBase, OrtIoBinding, OrtLoggingLevel, OrtMemType, OrtRunOptions, OrtSession, OrtStatusPtr,
};
use sofie_infer_runtime::DType;

use super::{Buffers, Peer};

/// A session and what it is bound to. Nothing is released: the process ends with the measurement.
pub struct Ort {
    api: &'static OrtApi,
    session: *mut OrtSession,
    options: *mut OrtRunOptions,
    binding: *mut OrtIoBinding,
    _buffers: Buffers,
}

impl Ort {
    /// Loads `model`, `dims` fixing its symbols.
    pub fn new(
        library: &Path,
        model: &Path,
        dims: &[(String, i64)],
        threads: usize,
        mut buffers: Buffers,
    ) -> Result<Self, String> {
        let api = load(library)?;
        let check = |status: OrtStatusPtr| check(api, status);
        let path = c_string(&model.to_string_lossy())?;
        let (mut env, mut config, mut memory) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let mut ort = Ort {
            api,
            session: ptr::null_mut(),
            options: ptr::null_mut(),
            binding: ptr::null_mut(),
            _buffers: Buffers { inputs: Vec::new(), outputs: Vec::new() },
        };
        // SAFETY: the functions are those of `OrtApi` version 22 and get what its header asks for: pointers to locals
        // for results, strings that outlive the call, objects that these very functions made and that are never freed.
        unsafe {
            check((api.CreateEnv)(OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR, c"zoo".as_ptr(), &mut env))?;
            check((api.CreateSessionOptions)(&mut config))?;
            check((api.SetIntraOpNumThreads)(config, threads as c_int))?;
            check((api.SetInterOpNumThreads)(config, 1))?;
            check((api.SetSessionGraphOptimizationLevel)(config, GraphOptimizationLevel::ORT_ENABLE_ALL))?;
            for (name, extent) in dims {
                check((api.AddFreeDimensionOverrideByName)(config, c_string(name)?.as_ptr(), *extent))?;
            }
            check((api.CreateSession)(env, path.as_ptr(), config, &mut ort.session))?;
            check((api.CreateRunOptions)(&mut ort.options))?;
            check((api.CreateIoBinding)(ort.session, &mut ort.binding))?;
            let kind = OrtMemType::OrtMemTypeDefault;
            check((api.CreateCpuMemoryInfo)(OrtAllocatorType::OrtDeviceAllocator, kind, &mut memory))?;
        }
        let bind = [(&mut buffers.inputs, api.BindInput), (&mut buffers.outputs, api.BindOutput)];
        for (tensors, bind) in bind {
            for t in tensors {
                let (mut value, name) = (ptr::null_mut(), c_string(&t.name)?);
                let (data, shape, dtype) = (t.memory.as_mut_ptr().cast(), t.shape.as_ptr(), element(t.dtype));
                // SAFETY: as above; `data` has `bytes` bytes and moves into `ort` with its vector, so it lives as long
                // as the binding.
                unsafe {
                    let make = api.CreateTensorWithDataAsOrtValue;
                    check(make(memory, data, t.bytes, shape, t.shape.len(), dtype, &mut value))?;
                    check(bind(ort.binding, name.as_ptr(), value))?;
                }
            }
        }
        ort._buffers = buffers;
        ort.infer()?;
        Ok(ort)
    }
}

impl Peer for Ort {
    fn infer(&mut self) -> Result<(), String> {
        // SAFETY: the three objects were made in `new` and are alive; the bound memory is in `_buffers`.
        check(self.api, unsafe { (self.api.RunWithBinding)(self.session, self.options, self.binding) })
    }
}

/// The interface of the library, which stays loaded.
fn load(library: &Path) -> Result<&'static OrtApi, String> {
    // SAFETY: the file is ONNX Runtime's shared library; its initialisers need nothing of us.
    let library = unsafe { Library::new(library) }.map_err(|e| e.to_string())?;
    let library = Box::leak(Box::new(library));
    // SAFETY: this is the function's documented type.
    let base = unsafe { library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0") };
    let base = base.map_err(|e| e.to_string())?;
    // SAFETY: the function returns a pointer to a static; `GetApi` returns one too, or null for an unknown version.
    let api = unsafe { ((*base()).GetApi)(ORT_API_VERSION).as_ref() };
    api.ok_or_else(|| format!("the ONNX Runtime library is older than interface version {ORT_API_VERSION}"))
}

/// Frees a status and turns it into its message.
fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null is ours to read and to release once.
    unsafe {
        let message = CStr::from_ptr((api.GetErrorMessage)(status.0)).to_string_lossy().into_owned();
        (api.ReleaseStatus)(status.0);
        Err(message)
    }
}

fn c_string(s: &str) -> Result<CString, String> {
    CString::new(s).map_err(|_| format!("`{s}` has a zero byte"))
}

fn element(dtype: DType) -> Onnx {
    match dtype {
        DType::F32 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        DType::F64 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        DType::F16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        DType::BF16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        DType::I8 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        DType::I16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        DType::I32 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        DType::I64 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        DType::U8 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        DType::U16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        DType::U32 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        DType::U64 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        DType::Bool => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
    }
}
