//! Memory of a column, for libraries of arrays: by the buffer protocol and by `DLPack`. Whoever looks at it keeps it.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use arrow_buffer::Buffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Elements one behind the other, the last index fastest. They must not be written.
#[pyclass(frozen)]
pub(crate) struct View {
    buffer: Buffer,
    /// As numpy says it.
    #[pyo3(get)]
    dtype: &'static str,
    shape: Vec<usize>,
}

/// As `DLPack` says it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Element {
    code: u8,
    bits: u8,
    lanes: u16,
}

const CPU: c_int = 1;

impl View {
    /// Of elements that numpy calls so.
    pub(crate) const fn new(buffer: Buffer, dtype: &'static str, shape: Vec<usize>) -> Self {
        Self {
            buffer,
            dtype,
            shape,
        }
    }
}

impl Element {
    /// Of numpy's names, without the order of bytes: `f4`.
    fn of(dtype: &str) -> Option<Self> {
        let (code, bytes) = dtype[1..].split_at_checked(1)?;
        let code = match code {
            "i" => 0,
            "u" => 1,
            "f" => 2,
            "b" => 6,
            _ => return None,
        };
        let bits = bytes.parse::<u8>().ok()? * 8;
        Some(Self {
            code,
            bits,
            lanes: 1,
        })
    }
}

#[pymethods]
impl View {
    /// Where the first element lies.
    #[getter]
    fn address(&self) -> usize {
        self.buffer.as_ptr() as usize
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    #[expect(clippy::unused_self, reason = "the protocol asks an object")]
    fn __dlpack_device__(&self) -> (c_int, c_int) {
        (CPU, 0)
    }

    /// A capsule without version, which all libraries take.
    #[pyo3(signature = (**_wishes))]
    fn __dlpack__(&self, py: Python<'_>, _wishes: Option<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let element = Element::of(self.dtype).ok_or_else(|| {
            PyTypeError::new_err(format!("a tensor has no elements of `{}`", self.dtype))
        })?;
        capsule(py, Box::new(Tensor::new(self, element)))
    }

    #[expect(unsafe_code, reason = "Python's buffer protocol")]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 wants it so")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let length = isize::try_from(slf.get().buffer.len())
            .map_err(|_| PyBufferError::new_err("the column is too long"))?;
        let place = slf.get().buffer.as_ptr().cast_mut().cast::<c_void>();
        let readonly = 1;
        // SAFETY: Python gives a view to fill; the memory lives as long as this object, which the view keeps; nobody may write it.
        let filled =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), place, length, readonly, flags) };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

const NAME: &CStr = c"dltensor";

/// `DLManagedTensor` of `DLPack`, and behind it what it points to.
#[repr(C)]
struct Tensor {
    data: *const c_void,
    device: [c_int; 2],
    dimensions: c_int,
    element: Element,
    shape: *const i64,
    /// None: the last index is fastest.
    strides: *const i64,
    byte_offset: u64,
    context: *mut c_void,
    deleter: Option<extern "C" fn(*mut Tensor)>,
    owned_shape: Box<[i64]>,
    _owner: Buffer,
}

impl Tensor {
    fn new(view: &View, element: Element) -> Self {
        let length = |length: &usize| i64::try_from(*length).unwrap_or(i64::MAX);
        let shape = view.shape.iter().map(length);
        let owned_shape: Box<[i64]> = shape.collect();
        let dimensions = owned_shape.iter().map(|_| 1).sum();
        Self {
            data: view.buffer.as_ptr().cast(),
            device: [CPU, 0],
            dimensions,
            element,
            shape: owned_shape.as_ptr(),
            strides: ptr::null(),
            byte_offset: 0,
            context: ptr::null_mut(),
            deleter: Some(give_up),
            owned_shape,
            _owner: view.buffer.clone(),
        }
    }
}

/// Called by whoever took the tensor, in any thread, with the interpreter's lock or without.
#[expect(unsafe_code, reason = "DLPack's way to give up")]
extern "C" fn give_up(tensor: *mut Tensor) {
    // SAFETY: it was a box when the capsule was made, and whoever took it calls once.
    drop(unsafe { Box::from_raw(tensor) });
}

/// Given up with the capsule, unless somebody has taken it and given the capsule another name.
#[expect(unsafe_code, reason = "Python's way to give up a capsule")]
unsafe extern "C" fn capsule_gone(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls with a capsule, and holds its lock; by its name it is ours still.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, NAME.as_ptr()) == 1 {
            give_up(ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()).cast());
        }
    }
}

#[expect(unsafe_code, reason = "a capsule that others may take over")]
fn capsule(py: Python<'_>, tensor: Box<Tensor>) -> PyResult<Py<PyAny>> {
    let tensor = Box::into_raw(tensor);
    // SAFETY: the pointer is not null, the name is static; the result is a new reference, or null and an exception is set.
    unsafe {
        let capsule = ffi::PyCapsule_New(tensor.cast(), NAME.as_ptr(), Some(capsule_gone));
        if capsule.is_null() {
            give_up(tensor);
            return Err(PyErr::fetch(py));
        }
        Ok(Bound::from_owned_ptr(py, capsule).unbind())
    }
}
