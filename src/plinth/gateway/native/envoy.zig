//! What we use of Envoy's interface for dynamic modules, and no more of it.
//!
//! A module and its Envoy must agree on these shapes: tests/conformance/test_module.py holds them.

/// The version of the interface that these shapes are of; Envoy warns of another.
pub const version = "v0.2.0";

pub const Buffer = extern struct {
    ptr: ?[*]const u8 = null,
    len: usize = 0,

    pub fn of(text: []const u8) Buffer {
        return .{ .ptr = text.ptr, .len = text.len };
    }

    pub fn slice(self: Buffer) []const u8 {
        return if (self.ptr) |ptr| ptr[0..self.len] else "";
    }
};

pub const Pair = extern struct {
    key: Buffer,
    value: Buffer,

    pub fn of(key: []const u8, value: []const u8) Pair {
        return .{ .key = .of(key), .value = .of(value) };
    }
};

/// Envoy's side of a stream.
pub const Handle = *anyopaque;

pub const Headers = enum(c_int) { request, request_trailers, response, response_trailers };

/// A body: what came just now, or what is held of it since before.
pub const Body = enum(c_int) { request_now, request_held, response_now, response_held };

const Source = enum(c_int) { dynamic, route };

/// `stop_all`: nothing of the request goes on until we say so, and no more is read than is held.
pub const HeadersStatus = enum(c_int) { go_on, stop, stop_all = 4 };
pub const BodyStatus = enum(c_int) { go_on, hold, hold_and_push_back, stop };

const callback = struct {
    extern fn envoy_dynamic_module_callback_http_get_header(
        Handle,
        Headers,
        name: Buffer,
        value: *Buffer,
        index: usize,
        count: ?*usize,
    ) bool;
    extern fn envoy_dynamic_module_callback_http_get_headers_size(Handle, Headers) usize;
    extern fn envoy_dynamic_module_callback_http_get_headers(Handle, Headers, [*]Pair) bool;
    extern fn envoy_dynamic_module_callback_http_set_header(Handle, Headers, Buffer, Buffer) bool;
    extern fn envoy_dynamic_module_callback_http_send_response(
        Handle,
        status: u32,
        headers: ?*Pair,
        headers_count: usize,
        body: Buffer,
        details: Buffer,
    ) void;
    extern fn envoy_dynamic_module_callback_http_get_body_size(Handle, Body) usize;
    extern fn envoy_dynamic_module_callback_http_get_body_chunks_size(Handle, Body) usize;
    extern fn envoy_dynamic_module_callback_http_get_body_chunks(Handle, Body, [*]Buffer) bool;
    extern fn envoy_dynamic_module_callback_http_append_body(Handle, Body, Buffer) bool;
    extern fn envoy_dynamic_module_callback_http_drain_body(Handle, Body, usize) bool;
    extern fn envoy_dynamic_module_callback_http_received_buffered_request_body(Handle) bool;
    extern fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
        Handle,
        namespace: Buffer,
        pairs: [*]const Pair,
        count: usize,
    ) void;
    extern fn envoy_dynamic_module_callback_http_get_metadata_bool(
        Handle,
        Source,
        namespace: Buffer,
        key: Buffer,
        value: *bool,
    ) bool;
    extern fn envoy_dynamic_module_callback_http_get_metadata_string(
        Handle,
        Source,
        namespace: Buffer,
        key: Buffer,
        value: *Buffer,
    ) bool;
    extern fn envoy_dynamic_module_callback_http_filter_http_callout(
        Handle,
        id: *u64,
        cluster: Buffer,
        headers: [*]const Pair,
        count: usize,
        body: Buffer,
        timeout_ms: u64,
    ) c_int;
    extern fn envoy_dynamic_module_callback_http_filter_continue_decoding(Handle) void;
    extern fn envoy_dynamic_module_callback_http_clear_route_cache(Handle) void;
    extern fn envoy_dynamic_module_callback_get_most_specific_route_config(
        Handle,
    ) ?*const anyopaque;
};

/// Return the first value of a header. It is Envoy's: a header that is set may end it.
pub fn header(handle: Handle, kind: Headers, name: []const u8) ?[]const u8 {
    var found: Buffer = .{};
    const get = callback.envoy_dynamic_module_callback_http_get_header;
    return if (get(handle, kind, .of(name), &found, 0, null)) found.slice() else null;
}

/// Return the first value of a header, and how many there are.
pub fn firstOf(
    handle: Handle,
    kind: Headers,
    name: []const u8,
) struct { value: ?[]const u8, count: usize } {
    var found: Buffer = .{};
    var count: usize = 0;
    const get = callback.envoy_dynamic_module_callback_http_get_header;
    const is_there = get(handle, kind, .of(name), &found, 0, &count);
    return .{ .value = if (is_there) found.slice() else null, .count = count };
}

/// Return all headers, in `room`; null where there are more. They are Envoy's, like one.
pub fn headers(handle: Handle, kind: Headers, room: []Pair) ?[]const Pair {
    const count = callback.envoy_dynamic_module_callback_http_get_headers_size(handle, kind);
    if (count > room.len) return null;
    const get = callback.envoy_dynamic_module_callback_http_get_headers;
    return if (count == 0 or get(handle, kind, room.ptr)) room[0..count] else null;
}

/// Set a header in the place of all of its name; without a value, take them off.
pub fn setHeader(handle: Handle, kind: Headers, name: []const u8, value: ?[]const u8) void {
    const given: Buffer = if (value) |text| .of(text) else .{};
    _ = callback.envoy_dynamic_module_callback_http_set_header(handle, kind, .of(name), given);
}

/// Answer in the place of any server; `details` is what the access log says why.
pub fn respond(handle: Handle, status: u32, text: []const u8, details: []const u8) void {
    const send = callback.envoy_dynamic_module_callback_http_send_response;
    send(handle, status, null, 0, .of(text), .of(details));
}

/// Ask a cluster; the answer comes by itself, unless the request ends before. False: it cannot be
/// asked.
pub fn call(
    handle: Handle,
    cluster: []const u8,
    sent: []const Pair,
    timeout_ms: u64,
) bool {
    var id: u64 = 0;
    const ask = callback.envoy_dynamic_module_callback_http_filter_http_callout;
    return ask(handle, &id, .of(cluster), sent.ptr, sent.len, .of(""), timeout_ms) == 0;
}

/// Go on with a request that was stopped.
pub fn goOn(handle: Handle) void {
    callback.envoy_dynamic_module_callback_http_filter_continue_decoding(handle);
}

pub fn pieceCount(handle: Handle, body: Body) usize {
    return callback.envoy_dynamic_module_callback_http_get_body_chunks_size(handle, body);
}

/// Write where the pieces of a body are, of which there are as many as places in `room`.
pub fn pieces(handle: Handle, body: Body, room: []Buffer) void {
    if (room.len == 0) return;
    const get = callback.envoy_dynamic_module_callback_http_get_body_chunks;
    if (!get(handle, body, room.ptr)) @memset(room, .{});
}

/// Put `text` in the place of a body.
pub fn replaceBody(handle: Handle, body: Body, text: []const u8) void {
    const size = callback.envoy_dynamic_module_callback_http_get_body_size(handle, body);
    const drain = callback.envoy_dynamic_module_callback_http_drain_body;
    if (size > 0) _ = drain(handle, body, size);
    if (text.len > 0) appendBody(handle, body, text);
}

pub fn appendBody(handle: Handle, body: Body, text: []const u8) void {
    _ = callback.envoy_dynamic_module_callback_http_append_body(handle, body, .of(text));
}

/// Tell whether the body that came just now is the one that a filter before us held.
pub fn isHeldBefore(handle: Handle) bool {
    return callback.envoy_dynamic_module_callback_http_received_buffered_request_body(handle);
}

/// Note texts in the metadata of the request.
pub fn note(handle: Handle, namespace: []const u8, pairs: []const Pair) void {
    const set = callback.envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch;
    set(handle, .of(namespace), pairs.ptr, pairs.len);
}

/// Tell whether the route has this mark in its metadata.
pub fn routeSays(handle: Handle, namespace: []const u8, key: []const u8) bool {
    var value = false;
    const get = callback.envoy_dynamic_module_callback_http_get_metadata_bool;
    return get(handle, .route, .of(namespace), .of(key), &value) and value;
}

/// Return a text of the route's metadata. It is Envoy's, and may end with what is set there.
pub fn routeText(handle: Handle, namespace: []const u8, key: []const u8) ?[]const u8 {
    var value: Buffer = .{};
    const get = callback.envoy_dynamic_module_callback_http_get_metadata_string;
    return if (get(handle, .route, .of(namespace), .of(key), &value)) value.slice() else null;
}

/// Have the route chosen anew, by the headers as they are now.
pub fn chooseRouteAnew(handle: Handle) void {
    callback.envoy_dynamic_module_callback_http_clear_route_cache(handle);
    // Envoy chooses when somebody asks for what goes through it, which metadata do not.
    _ = callback.envoy_dynamic_module_callback_get_most_specific_route_config(handle);
}

/// Return what we made of the route's settings, or null where it has none.
pub fn routeSettings(comptime Made: type, handle: Handle) ?*const Made {
    const get = callback.envoy_dynamic_module_callback_get_most_specific_route_config;
    return @ptrCast(@alignCast(get(handle) orelse return null));
}
