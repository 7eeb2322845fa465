//! Lets a test hand a list of memory to what asks for large pages.

const memory = @import("memory.zig");

export fn ask_for(list: [*]const u8, length: usize) void {
    memory.askFor(list[0..length]);
}
