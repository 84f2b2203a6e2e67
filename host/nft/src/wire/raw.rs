//! Owners of libnftnl's objects and the buffer it writes a message into: all `unsafe` of encoding.
//!
//! libnftnl copies what its setters are given and doesn't check the room in the buffer. The
//! buffer is larger than any message that `check` lets through; see [`Writer::message`].
#![allow(unsafe_code, reason = "libnftnl is a C library")]

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr::NonNull,
};

use nftnl_sys as sys;

use crate::Name;

/// What a message carries after its header.
pub(super) trait Payload {
    /// # Safety
    /// `header` must begin a message in a buffer with [`ROOM`] bytes.
    unsafe fn build(&self, header: *mut libc::nlmsghdr);
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $alloc:ident, $free:ident { $u32:ident $u64:ident $str:ident $data:ident }) => {
        $(#[$doc])*
        pub(super) struct $name(NonNull<sys::$raw>);

        impl $name {
            fn allocate(raw: *mut sys::$raw) -> Self {
                Self(NonNull::new(raw).expect("libnftnl is out of memory"))
            }

            pub(super) fn u32(&mut self, attr: u32, value: u32) {
                // SAFETY: the object is alive and the attribute is one of 32 bits.
                unsafe { sys::$u32(self.0.as_ptr(), attr as u16, value) };
            }

            #[allow(dead_code, reason = "not every object has a 64-bit attribute")]
            pub(super) fn u64(&mut self, attr: u32, value: u64) {
                // SAFETY: the object is alive and the attribute is one of 64 bits.
                unsafe { sys::$u64(self.0.as_ptr(), attr as u16, value) };
            }

            pub(super) fn text(&mut self, attr: u32, value: &CStr) {
                // SAFETY: the object is alive; the string is copied.
                let rc = unsafe { sys::$str(self.0.as_ptr(), attr as u16, value.as_ptr()) };
                assert!(rc >= 0, "libnftnl is out of memory");
            }

            pub(super) fn name(&mut self, attr: u32, name: &Name) {
                let name = CString::new(name.as_str()).expect("a name has no NUL");
                self.text(attr, &name);
            }

            #[allow(dead_code, reason = "not every object has an attribute of bytes")]
            pub(super) fn data(&mut self, attr: u32, value: &[u8]) {
                // SAFETY: the object is alive; so many bytes are copied.
                let rc = unsafe {
                    sys::$data(self.0.as_ptr(), attr as u16, value.as_ptr().cast(), value.len() as u32)
                };
                assert!(rc >= 0, "libnftnl is out of memory");
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: allocated by libnftnl, owned by nobody else (see the calls of `disown`).
                unsafe { sys::$free(self.0.as_ptr()) };
            }
        }
    };
}

object!(Table, nftnl_table, nftnl_table_alloc, nftnl_table_free {
    nftnl_table_set_u32 nftnl_table_set_u64 nftnl_table_set_str nftnl_table_set_data
});
object!(Chain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free {
    nftnl_chain_set_u32 nftnl_chain_set_u64 nftnl_chain_set_str nftnl_chain_set_data
});
object!(Rule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free {
    nftnl_rule_set_u32 nftnl_rule_set_u64 nftnl_rule_set_str nftnl_rule_set_data
});
object!(Expr, nftnl_expr, nftnl_expr_alloc, nftnl_expr_free {
    nftnl_expr_set_u32 nftnl_expr_set_u64 nftnl_expr_set_str nftnl_expr_set
});
object!(Set, nftnl_set, nftnl_set_alloc, nftnl_set_free {
    nftnl_set_set_u32 nftnl_set_set_u64 nftnl_set_set_str nftnl_set_set_data
});
object!(Element, nftnl_set_elem, nftnl_set_elem_alloc, nftnl_set_elem_free {
    nftnl_set_elem_set_u32 nftnl_set_elem_set_u64 nftnl_set_elem_set_str nftnl_set_elem_set
});
object!(Flowtable, nftnl_flowtable, nftnl_flowtable_alloc, nftnl_flowtable_free {
    nftnl_flowtable_set_u32 nftnl_flowtable_set_u64 nftnl_flowtable_set_str nftnl_flowtable_set_data
});

macro_rules! plain {
    ($($name:ident $alloc:ident $build:ident),*) => {$(
        impl $name {
            pub(super) fn new() -> Self {
                // SAFETY: no precondition.
                Self::allocate(unsafe { sys::$alloc() })
            }
        }

        impl Payload for $name {
            unsafe fn build(&self, header: *mut libc::nlmsghdr) {
                // SAFETY: the object is alive; the caller vouches for the buffer.
                unsafe { sys::$build(header, self.0.as_ptr()) };
            }
        }
    )*};
}

plain!(
    Table nftnl_table_alloc nftnl_table_nlmsg_build_payload,
    Chain nftnl_chain_alloc nftnl_chain_nlmsg_build_payload,
    Rule nftnl_rule_alloc nftnl_rule_nlmsg_build_payload,
    Set nftnl_set_alloc nftnl_set_nlmsg_build_payload,
    Flowtable nftnl_flowtable_alloc nftnl_flowtable_nlmsg_build_payload
);

impl Chain {
    pub(super) fn i32(&mut self, attr: u32, value: i32) {
        // SAFETY: the object is alive and the attribute is one of 32 bits.
        unsafe { sys::nftnl_chain_set_s32(self.0.as_ptr(), attr as u16, value) };
    }
}

impl Flowtable {
    pub(super) fn i32(&mut self, attr: u32, value: i32) {
        // SAFETY: the object is alive and the attribute is one of 32 bits.
        unsafe { sys::nftnl_flowtable_set_s32(self.0.as_ptr(), attr as u16, value) };
    }

    pub(super) fn devices(&mut self, names: &[CString]) {
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let attr = sys::NFTNL_FLOWTABLE_DEVICES as u16;
        // SAFETY: the object is alive; the array ends with a null pointer; strings are copied.
        let rc =
            unsafe { sys::nftnl_flowtable_set_array(self.0.as_ptr(), attr, pointers.as_mut_ptr()) };
        assert!(rc >= 0, "libnftnl is out of memory");
    }
}

impl Expr {
    /// # Panics
    /// When libnftnl doesn't know the name: all that are used here are in 1.2.4.
    pub(super) fn new(name: &CStr) -> Self {
        // SAFETY: the name is a C string.
        Self::allocate(unsafe { sys::nftnl_expr_alloc(name.as_ptr()) })
    }

    pub(super) fn u8(&mut self, attr: u32, value: u8) {
        // SAFETY: the object is alive and the attribute is one of 8 bits.
        unsafe { sys::nftnl_expr_set_u8(self.0.as_ptr(), attr as u16, value) };
    }
}

impl Rule {
    pub(super) fn add(&mut self, expr: Expr) {
        // SAFETY: both are alive; the rule owns the expression from here on.
        unsafe { sys::nftnl_rule_add_expr(self.0.as_ptr(), expr.0.as_ptr()) };
        std::mem::forget(expr);
    }
}

impl Element {
    pub(super) fn new() -> Self {
        // SAFETY: no precondition.
        Self::allocate(unsafe { sys::nftnl_set_elem_alloc() })
    }
}

impl Set {
    pub(super) fn add(&mut self, element: Element) {
        // SAFETY: both are alive; the set owns the element from here on.
        unsafe { sys::nftnl_set_elem_add(self.0.as_ptr(), element.0.as_ptr()) };
        std::mem::forget(element);
    }
}

/// The elements of a set, or the set's name alone.
pub(super) struct Elements(pub(super) Set);

impl Payload for Elements {
    unsafe fn build(&self, header: *mut libc::nlmsghdr) {
        // SAFETY: the set is alive; the caller vouches for the buffer.
        unsafe { sys::nftnl_set_elems_nlmsg_build_payload(header, self.0.0.as_ptr()) };
    }
}

/// Room for one message, in bytes: an attribute holds at most 64 KiB, and no message here has
/// more than one long attribute.
pub(super) const ROOM: usize = 256 * 1024;

/// Messages one after the other.
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    pub(super) seq: u32,
    // Words, so that headers are aligned.
    scratch: Box<[u64]>,
}

impl Writer {
    pub(super) fn new(seq: u32) -> Self {
        Self { bytes: Vec::new(), seq, scratch: vec![0; ROOM / 8].into_boxed_slice() }
    }

    pub(super) fn begin(&mut self) {
        let buffer = self.scratch.as_mut_ptr().cast();
        // SAFETY: a header and 4 bytes fit.
        let header = unsafe { sys::nftnl_batch_begin(buffer, self.seq) };
        self.take(header);
    }

    pub(super) fn end(&mut self) {
        let buffer = self.scratch.as_mut_ptr().cast();
        // SAFETY: a header and 4 bytes fit.
        let header = unsafe { sys::nftnl_batch_end(buffer, self.seq) };
        self.take(header);
    }

    /// Appends a message; no acknowledgement is asked for.
    pub(super) fn message(&mut self, kind: i32, family: u8, flags: i32, payload: &impl Payload) {
        let buffer: *mut c_void = self.scratch.as_mut_ptr().cast();
        // SAFETY: a header and 4 bytes fit.
        let header = unsafe {
            sys::nftnl_nlmsg_build_hdr(
                buffer.cast(),
                kind as u16,
                u16::from(family),
                flags as u16,
                self.seq,
            )
        };
        // SAFETY: the header begins a message in a buffer of ROOM bytes. Names have at most 255
        // bytes, userdata and data 256 and 64, a rule 128 expressions of at most 400 bytes, an
        // element message MESSAGE bytes: about 60 KiB at most.
        unsafe { payload.build(header) };
        self.take(header);
    }

    fn take(&mut self, header: *mut libc::nlmsghdr) {
        // SAFETY: libnftnl returns a pointer to the header that it wrote into the scratch buffer.
        let len = unsafe { (*header).nlmsg_len } as usize;
        assert!(len <= ROOM, "a message outgrew its buffer");
        let words = &self.scratch[..len.div_ceil(8)];
        // SAFETY: any u64 is eight bytes, and `len` of them are in these words.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), len) };
        self.bytes.extend_from_slice(bytes);
        self.seq = self.seq.wrapping_add(1);
    }
}
