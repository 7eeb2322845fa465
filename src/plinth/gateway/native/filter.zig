//! Our own filters in Envoy, as Envoy calls them: the gate, and that of OpenAI's protocol.
//!
//! `gate.py` and `openai_filter.py` put them into Envoy. They run within Envoy: a wrong step is
//! caught by checks and ends that Envoy, never reads what is not its own.

const std = @import("std");
const envoy = @import("envoy.zig");
const gate = @import("gate.zig");
const memory = @import("memory.zig");
const openai = @import("openai.zig");
const settings = @import("settings.zig");

// Envoy's own memory: who asks for more than there is ends with it.
const allocator = std.heap.c_allocator;

/// One request at one of the filters.
const Stream = union(enum) { gate: gate.Gate, openai: openai.Stream };

/// Keep what was read for as long as Envoy says.
fn kept(comptime Made: type, made: Made) ?*Made {
    const place = allocator.create(Made) catch return null;
    place.* = made;
    return place;
}

export fn envoy_dynamic_module_on_program_init() [*:0]const u8 {
    memory.useHugePages();
    return envoy.version;
}

export fn envoy_dynamic_module_on_http_filter_config_new(
    _: *anyopaque,
    name: envoy.Buffer,
    text: envoy.Buffer,
) ?*settings.Filter {
    const read = settings.Filter.read(allocator, name.slice(), text.slice()) catch return null;
    return kept(settings.Filter, read);
}

export fn envoy_dynamic_module_on_http_filter_config_destroy(filter: *settings.Filter) void {
    filter.deinit(allocator);
    allocator.destroy(filter);
}

export fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    name: envoy.Buffer,
    text: envoy.Buffer,
) ?*settings.Route {
    const read = settings.Route.read(allocator, name.slice(), text.slice()) catch return null;
    return kept(settings.Route, read);
}

export fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(
    route: *settings.Route,
) void {
    route.deinit();
    allocator.destroy(route);
}

export fn envoy_dynamic_module_on_http_filter_new(
    filter: *const settings.Filter,
    handle: envoy.Handle,
) ?*Stream {
    return kept(Stream, switch (filter.*) {
        .gate => |*own| .{ .gate = .{ .handle = handle, .own = own } },
        .part => |part| .{ .openai = .{ .handle = handle, .part = part } },
    });
}

export fn envoy_dynamic_module_on_http_filter_destroy(stream: *Stream) void {
    if (stream.* == .openai) stream.openai.deinit();
    allocator.destroy(stream);
}

export fn envoy_dynamic_module_on_http_filter_request_headers(
    _: envoy.Handle,
    stream: *Stream,
    is_last: bool,
) envoy.HeadersStatus {
    return switch (stream.*) {
        .openai => |*own| own.onRequestHeaders(is_last),
        .gate => |*own| own.onRequestHeaders(is_last),
    };
}

export fn envoy_dynamic_module_on_http_filter_request_body(
    _: envoy.Handle,
    stream: *Stream,
    is_last: bool,
) envoy.BodyStatus {
    return switch (stream.*) {
        .openai => |*own| own.onRequestBody(is_last),
        .gate => |*own| own.onRequestBody(),
    };
}

export fn envoy_dynamic_module_on_http_filter_request_trailers(
    _: envoy.Handle,
    stream: *Stream,
) envoy.HeadersStatus {
    return switch (stream.*) {
        .openai => |*own| own.onRequestTrailers(),
        .gate => |*own| own.onRequestTrailers(),
    };
}

export fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: envoy.Handle,
    stream: *Stream,
    _: u64,
    _: c_int,
    headers: ?[*]const envoy.Pair,
    count: usize,
    body: ?[*]const envoy.Buffer,
    pieces: usize,
) void {
    // Nothing was answered, or only the gate asks.
    const said = if (headers) |found| found[0..count] else &.{};
    const words = if (body) |found| if (pieces == 1) found[0].slice() else "" else "";
    if (stream.* == .gate) stream.gate.onVerified(said, words);
}

export fn envoy_dynamic_module_on_http_filter_response_headers(
    _: envoy.Handle,
    stream: *Stream,
    is_last: bool,
) envoy.HeadersStatus {
    if (stream.* == .openai) stream.openai.onResponseHeaders(is_last);
    return .go_on;
}

export fn envoy_dynamic_module_on_http_filter_response_body(
    _: envoy.Handle,
    stream: *Stream,
    is_last: bool,
) envoy.BodyStatus {
    if (stream.* == .openai) stream.openai.onResponseBody(is_last);
    return .go_on;
}

export fn envoy_dynamic_module_on_http_filter_response_trailers(
    _: envoy.Handle,
    stream: *Stream,
) envoy.HeadersStatus {
    if (stream.* == .openai) stream.openai.onResponseTrailers();
    return .go_on;
}

export fn envoy_dynamic_module_on_http_filter_stream_complete(
    _: envoy.Handle,
    stream: *Stream,
) void {
    if (stream.* == .openai) stream.openai.onComplete();
}

// Envoy takes no module without these, whether or not it uses what they belong to.
export fn envoy_dynamic_module_on_http_filter_http_stream_headers() void {}
export fn envoy_dynamic_module_on_http_filter_http_stream_data() void {}
export fn envoy_dynamic_module_on_http_filter_http_stream_trailers() void {}
export fn envoy_dynamic_module_on_http_filter_http_stream_complete() void {}
export fn envoy_dynamic_module_on_http_filter_http_stream_reset() void {}
export fn envoy_dynamic_module_on_http_filter_scheduled() void {}
export fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark() void {}
export fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark() void {}
