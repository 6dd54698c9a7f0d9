//! OpenVINO: one infer request in f32 with the latency hint, inputs bound to our memory.
//!
//! The request runs synchronously: handing it to a thread and back costs 80 µs more. Element types are asked of the
//! model, since their numbers differ between versions of the C header.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use libloading::Library;

use super::{Buffer, Buffers, Peer};

type Object = *mut c_void;
type Status = c_int;

/// `ov_shape_t`.
#[repr(C)]
struct Shape {
    rank: i64,
    dims: *mut i64,
}

/// `ov_partial_shape_t`: a rank as an interval, then an interval a dimension.
#[repr(C)]
struct PartialShape {
    rank: [i64; 2],
    dims: *mut c_void,
}

macro_rules! functions {
    ($($name:ident: fn($($arg:ty),*);)*) => {
        /// The functions that we call, with the types of OpenVINO's C header.
        struct Api {
            $($name: unsafe extern "C" fn($($arg),*) -> Status,)*
            compile: unsafe extern "C" fn(Object, Object, *const c_char, usize, *mut Object, ...) -> Status,
            last_error: unsafe extern "C" fn() -> *const c_char,
        }

        impl Api {
            fn load(library: &Path) -> Result<&'static Api, String> {
                // SAFETY: the file is OpenVINO's shared library; its initialisers need nothing of us.
                let library = unsafe { Library::new(library) }.map_err(|e| e.to_string())?;
                let library: &'static Library = Box::leak(Box::new(library));
                macro_rules! get {
                    ($symbol:expr) => {
                        // SAFETY: the fields' types are those of the header.
                        *unsafe { library.get($symbol.as_bytes()) }.map_err(|e| e.to_string())?
                    };
                }
                Ok(Box::leak(Box::new(Api {
                    $($name: get!(concat!("ov_", stringify!($name))),)*
                    compile: get!("ov_core_compile_model"),
                    last_error: get!("ov_get_last_err_msg"),
                })))
            }
        }
    };
}

functions! {
    core_create: fn(*mut Object);
    core_read_model: fn(Object, *const c_char, *const c_char, *mut Object);
    model_const_input_by_name: fn(Object, *const c_char, *mut Object);
    model_reshape: fn(Object, *const *const c_char, *const PartialShape, usize);
    partial_shape_create_static: fn(i64, *const i64, *mut PartialShape);
    port_get_element_type: fn(Object, *mut c_int);
    compiled_model_create_infer_request: fn(Object, *mut Object);
    tensor_create_from_host_ptr: fn(c_int, Shape, *mut c_void, *mut Object);
    tensor_get_byte_size: fn(Object, *mut usize);
    infer_request_set_tensor: fn(Object, *const c_char, Object);
    infer_request_infer: fn(Object);
}

/// An infer request and what it is bound to. Nothing is released: the process ends with the measurement.
pub struct OpenVino {
    api: &'static Api,
    request: Object,
    _buffers: Buffers,
}

impl OpenVino {
    /// Loads `model`; `fixed` reshapes it to the inputs' shapes before it is compiled.
    pub fn new(
        library: &Path,
        model: &Path,
        fixed: bool,
        threads: usize,
        mut buffers: Buffers,
    ) -> Result<Self, String> {
        let api = Api::load(library)?;
        let check = |status| check(api, status);
        let c = |s: &str| CString::new(s).map_err(|_| format!("`{s}` has a zero byte"));
        let (path, threads) = (c(&model.to_string_lossy())?, c(&threads.to_string())?);
        let (mut core, mut network, mut compiled, mut request) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the functions get what their header asks for: pointers to locals for results, strings and shapes
        // that outlive the call, objects that these very functions made and that are never freed, and as many
        // key-value strings as the count says.
        unsafe {
            check((api.core_create)(&mut core))?;
            check((api.core_read_model)(core, path.as_ptr(), ptr::null(), &mut network))?;
        }
        let elements: Vec<_> =
            buffers.inputs.iter().map(|t| element(api, network, t)).collect::<Result<_, _>>()?;
        if fixed {
            reshape(api, network, &buffers.inputs)?;
        }
        // SAFETY: as above.
        unsafe {
            check((api.compile)(
                core,
                network,
                c"CPU".as_ptr(),
                6,
                &mut compiled,
                c"PERFORMANCE_HINT".as_ptr(),
                c"LATENCY".as_ptr(),
                c"INFERENCE_NUM_THREADS".as_ptr(),
                threads.as_ptr(),
                c"INFERENCE_PRECISION_HINT".as_ptr(),
                c"f32".as_ptr(),
            ))?;
            check((api.compiled_model_create_infer_request)(compiled, &mut request))?;
        }
        for (t, element) in buffers.inputs.iter_mut().zip(elements) {
            let Some(element) = element else { continue };
            let (mut tensor, mut bytes, name) = (ptr::null_mut(), 0, c(&t.name)?);
            let shape = Shape { rank: t.shape.len() as i64, dims: t.shape.as_mut_ptr() };
            // SAFETY: as above; the memory moves into the result with its vector, so it lives as long as the request.
            unsafe {
                let memory = t.memory.as_mut_ptr().cast();
                check((api.tensor_create_from_host_ptr)(element, shape, memory, &mut tensor))?;
                check((api.tensor_get_byte_size)(tensor, &mut bytes))?;
                if bytes != t.bytes {
                    return Err(format!(
                        "OpenVINO reads {bytes} bytes of `{}`, which has {}",
                        t.name, t.bytes
                    ));
                }
                check((api.infer_request_set_tensor)(request, name.as_ptr(), tensor))?;
            }
        }
        let mut peer = OpenVino { api, request, _buffers: buffers };
        peer.infer()?;
        Ok(peer)
    }
}

impl Peer for OpenVino {
    fn infer(&mut self) -> Result<(), String> {
        // SAFETY: the request was made in `new` and is alive; the bound memory is in `_buffers`.
        check(self.api, unsafe { (self.api.infer_request_infer)(self.request) })
    }
}

/// The number by which this version calls the input's type; `None` for an input that its reader dropped as unused.
fn element(api: &Api, network: Object, t: &Buffer) -> Result<Option<c_int>, String> {
    let name = CString::new(t.name.as_str()).map_err(|e| e.to_string())?;
    let (mut port, mut element) = (ptr::null_mut(), 0);
    // SAFETY: the network is alive, the name outlives the call, the results are locals.
    unsafe {
        if (api.model_const_input_by_name)(network, name.as_ptr(), &mut port) != 0 {
            return Ok(None);
        }
        check(api, (api.port_get_element_type)(port, &mut element))?;
    }
    Ok(Some(element))
}

/// Fixes the network's inputs to the buffers' shapes.
fn reshape(api: &Api, network: Object, inputs: &[Buffer]) -> Result<(), String> {
    let mut names = Vec::new();
    let mut shapes = Vec::new();
    for t in inputs {
        if element(api, network, t)?.is_none() {
            continue;
        }
        let mut shape = PartialShape { rank: [0; 2], dims: ptr::null_mut() };
        // SAFETY: the extents are as many as the rank says; the result is a local.
        check(api, unsafe {
            (api.partial_shape_create_static)(t.shape.len() as i64, t.shape.as_ptr(), &mut shape)
        })?;
        shapes.push(shape);
        names.push(CString::new(t.name.as_str()).map_err(|e| e.to_string())?);
    }
    let pointers: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
    // SAFETY: both arrays have as many elements as the count says and outlive the call.
    check(api, unsafe { (api.model_reshape)(network, pointers.as_ptr(), shapes.as_ptr(), shapes.len()) })
}

fn check(api: &Api, status: Status) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the message is a string that lives until the next call.
    let message =
        unsafe { (api.last_error)().as_ref().map(|m| CStr::from_ptr(m).to_string_lossy().into_owned()) };
    Err(format!("OpenVINO status {status}: {}", message.unwrap_or_default().trim()))
}
