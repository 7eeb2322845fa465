//! The filter that says who may come in: no revoked key, no browser's key but on its page, nobody
//! who is not granted the route, nothing larger than it takes. Who calls stands in headers, which
//! the filter before has put there from a verified key and no client can set.

const std = @import("std");
const envoy = @import("envoy.zig");
const rules = @import("rules.zig");

// The names that Python knows too: names.py, gate.py.
const details = "plinth_denied[{s}]";
const revoked_name = "revoked";
const other_page_name = "other-page";
const two_keys_name = "two-keys";
/// Nobody is granted it.
pub const nobody = "none";

const refused = 403;
// Envoy takes 100 of a client's; some are ours.
const most_headers = 256;

// One for each thread, of which each reads one request at a time: to clear it would cost more than
// all the rest.
threadlocal var room: [most_headers]envoy.Pair = @splat(.{ .key = .{}, .value = .{} });

const most_repeated = 256;
const identity = [_][]const u8{
    "x-plinth-principal",
    "x-plinth-team",
    "x-plinth-key",
    "x-plinth-run-principal",
};
const names = identity ++ [_][]const u8{
    "x-plinth-browser",
    "x-plinth-page",
    ":method",
    "content-length",
};

/// What is read of a request. The names are those of identity.py and browser.py.
const Asked = struct {
    @"x-plinth-principal": ?[]const u8 = null,
    @"x-plinth-team": ?[]const u8 = null,
    @"x-plinth-key": ?[]const u8 = null,
    @"x-plinth-run-principal": ?[]const u8 = null,
    @"x-plinth-browser": ?[]const u8 = null,
    @"x-plinth-page": ?[]const u8 = null,
    @":method": ?[]const u8 = null,
    @"content-length": ?[]const u8 = null,
    /// A key was sent in two headers: what it says stands there twice.
    is_repeated: bool = false,

    /// Read the headers. TwoKeys: one of them has two values. TooMany: no client may send as many.
    fn read(handle: envoy.Handle) error{ TwoKeys, TooMany }!Asked {
        var asked: Asked = .{};
        const all = envoy.headers(handle, .request, &room) orelse return error.TooMany;
        for (all) |each| {
            const name = each.key.slice();
            inline for (names) |known| {
                // Most names differ in their length, and there are many.
                if (name.len == known.len and std.mem.eql(u8, name, known)) {
                    const value = each.value.slice();
                    if (@field(asked, known)) |before| {
                        if (!std.mem.eql(u8, before, value)) return error.TwoKeys;
                        asked.is_repeated = true;
                    }
                    @field(asked, known) = value;
                }
            }
        }
        return asked;
    }

    /// Leave one of each: who counts requests by them would take two for another caller's.
    fn sayOnce(self: *const Asked, handle: envoy.Handle) error{NoSpaceLeft}!void {
        var space: [4][most_repeated]u8 = undefined;
        var values: [4]?[]const u8 = undefined;
        inline for (identity, &space, &values) |name, *copy, *value| {
            const found = @field(self, name);
            value.* = if (found) |text| try std.fmt.bufPrint(copy, "{s}", .{text}) else null;
        }
        inline for (identity, values) |name, value| {
            if (value) |text| envoy.setHeader(handle, .request, name, text);
        }
    }

    /// Tell whether what is sent is more than this, or does not say how much it is.
    fn isLarger(self: *const Asked, most: u64) bool {
        if (!std.mem.eql(u8, self.@":method" orelse "", "POST")) return false;
        const length = self.@"content-length" orelse return true;
        return (std.fmt.parseInt(u64, length, 10) catch return true) > most;
    }

    /// Return why the rules do not let the caller in, or null.
    fn reasonToKeepOut(self: *const Asked, own: *const rules.Rules) ?[]const u8 {
        const is_allowed = own.allow(.{
            .principal = self.@"x-plinth-principal" orelse "",
            .team = self.@"x-plinth-team" orelse "",
            .is_run = self.@"x-plinth-run-principal" != null,
        });
        return if (is_allowed) null else own.otherwise;
    }
};

/// Return why the request is refused, or null. `own`: the rules of its route, if it has any.
pub fn reasonAtGate(
    handle: envoy.Handle,
    revoked: *const rules.Names,
    own: ?*const rules.Rules,
) ?[]const u8 {
    const asked = Asked.read(handle) catch |err| return switch (err) {
        error.TwoKeys => two_keys_name,
        error.TooMany => nobody,
    };
    if (asked.@"x-plinth-browser" != null or asked.@"x-plinth-page" != null) {
        return other_page_name;
    }
    if (asked.@"x-plinth-key") |key| if (revoked.has(key)) return revoked_name;
    const found = own orelse return nobody;
    if (asked.reasonToKeepOut(found)) |name| return name;
    if (found.most) |most| if (asked.isLarger(most.bytes)) return most.name;
    if (asked.is_repeated) asked.sayOnce(handle) catch return two_keys_name;
    return null;
}

/// Return why a caller who passed the gate may not go on to where these rules are, or null.
pub fn reasonBehindGate(handle: envoy.Handle, own: *const rules.Rules) ?[]const u8 {
    const asked = Asked.read(handle) catch return nobody;
    return asked.reasonToKeepOut(own);
}

/// Refuse a request for this reason.
pub fn refuse(handle: envoy.Handle, reason: []const u8) void {
    var space: [details.len + rules.longest_reason]u8 = undefined;
    const words = std.fmt.bufPrint(&space, details, .{reason}) catch unreachable;
    envoy.respond(handle, refused, "", words);
}
