//! A layer under SQLite (a VFS) that hands everything on to the usual one, and notes what changes files.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::{offset_of, size_of};
use std::path::PathBuf;
use std::ptr;

use parking_lot::Mutex;
use rusqlite::ffi::{
    SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64, sqlite3_io_methods,
    sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Create,
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        to: usize,
    },
    Sync,
    /// Whether its folder was synced after it.
    Remove {
        synced: bool,
    },
    /// Of the folder: what was removed from it is gone.
    SyncFolder,
}

/// Everything that was done since it was begun to record, in order.
static RECORD: Mutex<Option<Vec<(PathBuf, Deed)>>> = Mutex::new(None);

/// Forgets what was recorded, and begins anew.
pub fn begin() {
    *RECORD.lock() = Some(Vec::new());
}

/// How much was recorded so far.
pub fn so_far() -> usize {
    RECORD.lock().as_ref().map_or(0, Vec::len)
}

/// Gives what was recorded, and records no more.
pub fn end() -> Vec<(PathBuf, Deed)> {
    RECORD.lock().take().unwrap_or_default()
}

/// Notes what was done to a file by other means than SQLite.
pub fn note(path: PathBuf, deed: Deed) {
    if let Some(record) = RECORD.lock().as_mut() {
        record.push((path, deed));
    }
}

/// An open file: this layer's, and behind it the usual one's.
#[repr(C)]
struct Layered {
    base: sqlite3_file,
    /// Where it is, if it is one whose deeds are noted.
    path: *mut PathBuf,
    methods: sqlite3_io_methods,
    /// The beginning of the usual layer's file; the rest of it follows.
    usual: sqlite3_file,
}

/// Puts the layer under every connection that is opened from now on.
pub fn install() {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if std::mem::replace(&mut *installed, true) {
        return;
    }
    // SAFETY: the usual layer lives as long as the process; so does the copy of it that is leaked here, as SQLite asks. All
    // that is not replaced in the copy works on the usual layer's `pAppData`, which is copied too.
    unsafe {
        let usual = sqlite3_vfs_find(ptr::null());
        assert!(!usual.is_null(), "SQLite has a file system");
        USUAL.lock().0 = usual;
        let mut layer = *usual;
        layer.zName = c"recording".as_ptr();
        layer.pNext = ptr::null_mut();
        layer.szOsFile = c_int::try_from(size_of::<Layered>()).expect("small") + (*usual).szOsFile;
        layer.xOpen = Some(open);
        layer.xDelete = Some(delete);
        assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(layer)), 1), SQLITE_OK);
    }
}

struct Pointer(*mut sqlite3_vfs);

// SAFETY: the usual layer is made for all threads.
unsafe impl Send for Pointer {}

static USUAL: Mutex<Pointer> = Mutex::new(Pointer(ptr::null_mut()));

fn usual() -> *mut sqlite3_vfs {
    USUAL.lock().0
}

/// The usual layer's file behind one of this layer's.
///
/// # Safety
///
/// The file was opened by [`open`].
unsafe fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite gave room for both, and `Layered` ends with the beginning of the other.
    unsafe { file.byte_add(offset_of!(Layered, usual)) }
}

/// Notes a deed of an open file.
///
/// # Safety
///
/// As [`behind`].
unsafe fn did(file: *mut sqlite3_file, deed: impl FnOnce() -> Deed) {
    // SAFETY: `path` is null or leads to a path that lives until the file is closed.
    let path = unsafe { (*file.cast::<Layered>()).path.as_ref() };
    if let (Some(path), Some(record)) = (path, RECORD.lock().as_mut()) {
        record.push((path.clone(), deed()));
    }
}

fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite names files by texts that end with a zero.
    let name = unsafe { CStr::from_ptr(name) };
    PathBuf::from(name.to_str().expect("UTF-8"))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    given: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room of `szOsFile` bytes, which is written before it is read. The usual methods are called with the
    // usual file, and only those are offered that it has.
    unsafe {
        let layered = file.cast::<Layered>();
        let noted = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0 && !name.is_null();
        let is_new = noted && !path_of(name).exists();
        (*layered).base.pMethods = ptr::null();
        (*layered).path = ptr::null_mut();
        let behind = behind(file);
        (*behind).pMethods = ptr::null();
        let answer = ((*usual()).xOpen.expect("it opens"))(usual(), name, behind, flags, given);
        if (*behind).pMethods.is_null() {
            return answer;
        }
        if noted {
            (*layered).path = Box::into_raw(Box::new(path_of(name)));
        }
        if is_new && answer == SQLITE_OK {
            did(file, || Deed::Create);
        }
        let methods = *(*behind).pMethods;
        (*layered).methods = sqlite3_io_methods {
            iVersion: methods.iVersion.min(2),
            xClose: Some(close),
            xRead: Some(read),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            xFileSize: Some(file_size),
            xLock: Some(lock),
            xUnlock: Some(unlock),
            xCheckReservedLock: Some(check_reserved_lock),
            xFileControl: Some(file_control),
            xSectorSize: methods.xSectorSize.map(|_| sector_size as _),
            xDeviceCharacteristics: methods.xDeviceCharacteristics.map(|_| device_characteristics as _),
            xShmMap: methods.xShmMap.map(|_| shm_map as _),
            xShmLock: methods.xShmLock.map(|_| shm_lock as _),
            xShmBarrier: methods.xShmBarrier.map(|_| shm_barrier as _),
            xShmUnmap: methods.xShmUnmap.map(|_| shm_unmap as _),
            xFetch: None,
            xUnfetch: None,
        };
        (*layered).base.pMethods = &raw const (*layered).methods;
        answer
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: handed on as it came.
    let answer = unsafe { ((*usual()).xDelete.expect("it deletes"))(usual(), name, sync_folder) };
    if answer == SQLITE_OK {
        note(path_of(name), Deed::Remove { synced: sync_folder != 0 });
    }
    answer
}

/// A method that hands its call on, and then notes a deed if it went well.
macro_rules! hand_on {
    ($name:ident, $method:ident, ($($argument:ident: $kind:ty),*) -> $answer:ty $(, $deed:expr)?) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $kind),*) -> $answer {
            // SAFETY: the file was opened by `open`; the method is there, or it would not be offered.
            unsafe {
                let behind = behind(file);
                let method = (*(*behind).pMethods).$method.expect("it is offered");
                let answer = method(behind, $($argument),*);
                $(if answer == SQLITE_OK {
                    did(file, || $deed);
                })?
                answer
            }
        }
    };
}

hand_on!(read, xRead, (to: *mut c_void, many: c_int, at: sqlite3_int64) -> c_int);
hand_on!(write, xWrite, (from: *const c_void, many: c_int, at: sqlite3_int64) -> c_int, Deed::Write {
    at: usize::try_from(at).expect("a place"),
    bytes: std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(many).expect("a length")).to_vec(),
});
hand_on!(truncate, xTruncate, (to: sqlite3_int64) -> c_int, Deed::Truncate { to: usize::try_from(to).expect("a length") });
hand_on!(sync, xSync, (flags: c_int) -> c_int, Deed::Sync);
hand_on!(file_size, xFileSize, (size: *mut sqlite3_int64) -> c_int);
hand_on!(lock, xLock, (level: c_int) -> c_int);
hand_on!(unlock, xUnlock, (level: c_int) -> c_int);
hand_on!(check_reserved_lock, xCheckReservedLock, (answer: *mut c_int) -> c_int);
hand_on!(file_control, xFileControl, (what: c_int, with: *mut c_void) -> c_int);
hand_on!(sector_size, xSectorSize, () -> c_int);
hand_on!(device_characteristics, xDeviceCharacteristics, () -> c_int);
hand_on!(shm_map, xShmMap, (region: c_int, size: c_int, extend: c_int, to: *mut *mut c_void) -> c_int);
hand_on!(shm_lock, xShmLock, (offset: c_int, many: c_int, flags: c_int) -> c_int);
hand_on!(shm_barrier, xShmBarrier, () -> ());
hand_on!(shm_unmap, xShmUnmap, (delete: c_int) -> c_int);

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as above; the path is not used after it, and is given back once.
    unsafe {
        let behind = behind(file);
        let answer = ((*(*behind).pMethods).xClose.expect("it closes"))(behind);
        let layered = file.cast::<Layered>();
        if !(*layered).path.is_null() {
            drop(Box::from_raw((*layered).path));
            (*layered).path = ptr::null_mut();
        }
        answer
    }
}
