//! Ask for huge pages where Envoy keeps what it allocates. Linux only; whatever fails is ignored.
//!
//! With 1,000 endpoints a request walks through so much memory that the processor spends a tenth of
//! its time on finding pages of 4 kB: by path 185 us a request, with pages of 2 MB 172; by body 212
//! and 196; for 5 MB more. Envoy's allocator reserves a gigabyte at a time, takes it from the end
//! in steps of 2 MB, and leaves the size of pages to the system, which by default gives large ones
//! only to who asks.

const builtin = @import("builtin");
const std = @import("std");

const least_reserved = 256 << 20;
const longest_list = 1 << 20;
// From Linux's own headers: for pages to come (any version), for those that are there (6.1).
const for_new_pages = 14;
const for_present_pages = 25;

// The address as a number: what the list says is not trusted to be a place in memory.
extern "c" fn madvise(start: usize, length: usize, advice: c_int) c_int;

/// Ask once, when the program begins: what is reserved then is what it allocates from later.
pub fn useHugePages() void {
    if (builtin.os.tag != .linux) return;
    const file = std.fs.openFileAbsolute("/proc/self/maps", .{}) catch return;
    defer file.close();
    const list = file.readToEndAlloc(std.heap.c_allocator, longest_list) catch return;
    defer std.heap.c_allocator.free(list);
    askFor(list);
}

/// Ask for every part of a list that the system made, and for nothing where a line makes no sense.
pub fn askFor(list: []const u8) void {
    var end_of_reserved: ?usize = null;
    var lines = std.mem.splitScalar(u8, list, '\n');
    while (lines.next()) |line| {
        const region = Region.read(line) orelse continue;
        if (region.isReserved()) {
            region.advise(for_new_pages);
            end_of_reserved = region.end;
        } else if (region.start == end_of_reserved) {
            region.advise(for_new_pages);
            region.advise(for_present_pages);
        }
    }
}

/// A part of the address space that is of no file; it begins before it ends.
const Region = struct {
    start: usize,
    end: usize,
    is_used: bool,

    /// Read `start-end rights offset device inode`; null for the memory of a file or a stack.
    fn read(line: []const u8) ?Region {
        var words = std.mem.tokenizeScalar(u8, line, ' ');
        const place = words.next() orelse return null;
        const rights = words.next() orelse return null;
        for (0..3) |_| _ = words.next() orelse return null;
        if (words.next() != null) return null;
        const dash = std.mem.indexOfScalar(u8, place, '-') orelse return null;
        const start = std.fmt.parseInt(usize, place[0..dash], 16) catch return null;
        const end = std.fmt.parseInt(usize, place[dash + 1 ..], 16) catch return null;
        // A list that changes while it is read may have lines of which a part is missing.
        if (start == 0 or start >= end) return null;
        return .{ .start = start, .end = end, .is_used = !std.mem.eql(u8, rights, "---p") };
    }

    fn isReserved(self: Region) bool {
        return !self.is_used and self.end - self.start >= least_reserved;
    }

    fn advise(self: Region, advice: c_int) void {
        _ = madvise(self.start, self.end - self.start, advice);
    }
};
