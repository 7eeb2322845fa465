//! Stands in for Envoy: hands what the filter calls on to functions that a test gives.

const Buffer = extern struct { ptr: ?[*]const u8, len: usize };
const Handle = ?*anyopaque;

const Given = extern struct {
    get_header: *const fn (Handle, c_int, Buffer, *Buffer, usize, ?*usize) callconv(.c) bool,
    header_count: *const fn (Handle, c_int) callconv(.c) usize,
    headers: *const fn (Handle, c_int, [*][2]Buffer) callconv(.c) bool,
    set_header: *const fn (Handle, c_int, Buffer, Buffer) callconv(.c) bool,
    respond: *const fn (Handle, u32, Buffer, Buffer) callconv(.c) void,
    call: *const fn (Handle, Buffer, [*]const [2]Buffer, usize) callconv(.c) c_int,
    go_on: *const fn (Handle) callconv(.c) void,
    body_size: *const fn (Handle, c_int) callconv(.c) usize,
    piece_count: *const fn (Handle, c_int) callconv(.c) usize,
    pieces: *const fn (Handle, c_int, [*]Buffer) callconv(.c) bool,
    append: *const fn (Handle, c_int, Buffer) callconv(.c) bool,
    drain: *const fn (Handle, c_int, usize) callconv(.c) bool,
    is_held_before: *const fn (Handle) callconv(.c) bool,
    note: *const fn (Handle, Buffer, Buffer, Buffer) callconv(.c) void,
    route_mark: *const fn (Handle, Buffer, *bool) callconv(.c) bool,
    route_text: *const fn (Handle, Buffer, *Buffer) callconv(.c) bool,
    choose_anew: *const fn (Handle) callconv(.c) void,
    settings: *const fn (Handle) callconv(.c) Handle,
};

var given: *const Given = undefined;

export fn give(functions: *const Given) void {
    given = functions;
}

export fn envoy_dynamic_module_callback_http_get_header(
    handle: Handle,
    kind: c_int,
    name: Buffer,
    value: *Buffer,
    index: usize,
    count: ?*usize,
) bool {
    return given.get_header(handle, kind, name, value, index, count);
}

export fn envoy_dynamic_module_callback_http_get_headers_size(handle: Handle, kind: c_int) usize {
    return given.header_count(handle, kind);
}

export fn envoy_dynamic_module_callback_http_get_headers(
    handle: Handle,
    kind: c_int,
    room: [*][2]Buffer,
) bool {
    return given.headers(handle, kind, room);
}

export fn envoy_dynamic_module_callback_http_set_header(
    handle: Handle,
    kind: c_int,
    name: Buffer,
    value: Buffer,
) bool {
    return given.set_header(handle, kind, name, value);
}

export fn envoy_dynamic_module_callback_http_send_response(
    handle: Handle,
    status: u32,
    _: ?*anyopaque,
    _: usize,
    body: Buffer,
    details: Buffer,
) void {
    given.respond(handle, status, body, details);
}

export fn envoy_dynamic_module_callback_http_filter_http_callout(
    handle: Handle,
    _: *u64,
    cluster: Buffer,
    headers: [*]const [2]Buffer,
    count: usize,
    _: Buffer,
    _: u64,
) c_int {
    return given.call(handle, cluster, headers, count);
}

export fn envoy_dynamic_module_callback_http_filter_continue_decoding(handle: Handle) void {
    given.go_on(handle);
}

export fn envoy_dynamic_module_callback_http_get_body_size(handle: Handle, body: c_int) usize {
    return given.body_size(handle, body);
}

export fn envoy_dynamic_module_callback_http_get_body_chunks_size(
    handle: Handle,
    body: c_int,
) usize {
    return given.piece_count(handle, body);
}

export fn envoy_dynamic_module_callback_http_get_body_chunks(
    handle: Handle,
    body: c_int,
    room: [*]Buffer,
) bool {
    return given.pieces(handle, body, room);
}

export fn envoy_dynamic_module_callback_http_append_body(
    handle: Handle,
    body: c_int,
    text: Buffer,
) bool {
    return given.append(handle, body, text);
}

export fn envoy_dynamic_module_callback_http_drain_body(
    handle: Handle,
    body: c_int,
    size: usize,
) bool {
    return given.drain(handle, body, size);
}

export fn envoy_dynamic_module_callback_http_received_buffered_request_body(
    handle: Handle,
) bool {
    return given.is_held_before(handle);
}

export fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
    handle: Handle,
    namespace: Buffer,
    pairs: [*]const [2]Buffer,
    count: usize,
) void {
    for (pairs[0..count]) |pair| given.note(handle, namespace, pair[0], pair[1]);
}

export fn envoy_dynamic_module_callback_http_get_metadata_bool(
    handle: Handle,
    _: c_int,
    _: Buffer,
    key: Buffer,
    value: *bool,
) bool {
    return given.route_mark(handle, key, value);
}

export fn envoy_dynamic_module_callback_http_get_metadata_string(
    handle: Handle,
    _: c_int,
    _: Buffer,
    key: Buffer,
    value: *Buffer,
) bool {
    return given.route_text(handle, key, value);
}

export fn envoy_dynamic_module_callback_http_clear_route_cache(handle: Handle) void {
    given.choose_anew(handle);
}

export fn envoy_dynamic_module_callback_get_most_specific_route_config(handle: Handle) Handle {
    return given.settings(handle);
}
