//! Whose keys were verified: Envoy's filter for keys verifies each once, and this remembers what it
//! said, apart for each of Envoy's threads. What a key says never changes; when other signing keys
//! count, all is forgotten.

const std = @import("std");

const allocator = std.heap.c_allocator;
// A key of ours has 400 characters at most.
pub const longest_token = 512;

/// What a key says. `expires`: seconds since 1970.
pub const Identity = struct {
    principal: []const u8,
    team: []const u8,
    key: []const u8,
    is_run: bool,
    expires: i64,
};

const Entry = struct { text: []u8, identity: Identity };
const Half = std.StringHashMapUnmanaged(Entry);

threadlocal var signers: u64 = 0;
threadlocal var newer: Half = .empty;
threadlocal var older: Half = .empty;

/// Which signing keys count, by their digest, and how many keys are remembered at least, those that
/// were used last; at most twice as many.
pub const Scope = struct { digest: u64 = 0, most: u32 = 0 };

/// Return what a key says, where it is known. It holds until another key is remembered.
pub fn find(scope: Scope, token: []const u8) ?Identity {
    if (scope.digest != signers) return null;
    if (newer.get(token)) |entry| return entry.identity;
    const entry = older.fetchRemove(token) orelse return null;
    keep(scope, entry.value.text[0..token.len], entry.value) catch {
        allocator.free(entry.value.text);
        return null;
    };
    return entry.value.identity;
}

/// Remember what a verified key says; return it as it is kept.
pub fn remember(scope: Scope, token: []const u8, said: Identity) error{OutOfMemory}!Identity {
    if (scope.digest != signers) {
        forget(&newer);
        forget(&older);
        signers = scope.digest;
    }
    // Another request with it may have been first.
    if (find(scope, token)) |known| return known;
    const parts = [_][]const u8{ token, said.principal, said.team, said.key };
    const text = try std.mem.concat(allocator, u8, &parts);
    errdefer allocator.free(text);
    var at: usize = 0;
    var kept: [parts.len][]const u8 = undefined;
    for (parts, &kept) |part, *each| {
        each.* = text[at..][0..part.len];
        at += part.len;
    }
    const identity: Identity = .{
        .principal = kept[1],
        .team = kept[2],
        .key = kept[3],
        .is_run = said.is_run,
        .expires = said.expires,
    };
    try keep(scope, kept[0], .{ .text = text, .identity = identity });
    return identity;
}

fn keep(scope: Scope, token: []const u8, entry: Entry) error{OutOfMemory}!void {
    if (newer.count() >= scope.most) {
        forget(&older);
        older = newer;
        newer = .empty;
    }
    try newer.put(allocator, token, entry);
}

fn forget(half: *Half) void {
    var each = half.valueIterator();
    while (each.next()) |entry| allocator.free(entry.text);
    half.deinit(allocator);
    half.* = .empty;
}

/// Return which signing key signed it, as it says itself, in `room`; null where it is no key.
pub fn signerOf(token: []const u8, room: *[256]u8) ?[]const u8 {
    if (token.len > longest_token) return null;
    for (token) |each| switch (each) {
        'a'...'z', 'A'...'Z', '0'...'9', '-', '_', '.' => {},
        else => return null,
    };
    const head = token[0 .. std.mem.indexOfScalar(u8, token, '.') orelse return null];
    const decoder = std.base64.url_safe_no_pad.Decoder;
    var space: [256]u8 = undefined;
    const size = decoder.calcSizeForSlice(head) catch return null;
    if (size > space.len) return null;
    decoder.decode(&space, head) catch return null;
    var fixed: std.heap.FixedBufferAllocator = .init(room);
    const Said = struct { kid: []const u8 };
    const said = std.json.parseFromSliceLeaky(Said, fixed.allocator(), space[0..size], .{
        .ignore_unknown_fields = true,
        .allocate = .alloc_always,
    }) catch return null;
    return said.kid;
}
