//! Reads of a JSON text where the values of an object stand, and nothing else.
//!
//! Bodies are cut and joined by these places, never written anew, so the order of names and every
//! digit stay as they were sent. What two programs could read differently is no object here.

const std = @import("std");

const deepest = 100;
/// More than any request has; it bounds the search for names that stand there twice.
pub const most_members = 512;

/// A part of a text: from a place up to another, without it.
pub const Span = struct {
    from: usize,
    to: usize,

    /// Return it in a text in which its own begins at `from`.
    pub fn after(self: Span, from: usize) Span {
        return .{ .from = from + self.from, .to = from + self.to };
    }

    pub fn of(self: Span, text: []const u8) []const u8 {
        return text[self.from..self.to];
    }
};

/// Where the values of an object stand whose names are in `Names`; `count`: of all its members.
pub fn Members(comptime Names: type) type {
    return struct {
        values: std.EnumArray(Names, ?Span) = .initFill(null),
        count: usize = 0,

        pub fn raw(self: *const @This(), text: []const u8, name: Names) ?[]const u8 {
            const place = self.values.get(name) orelse return null;
            return place.of(text);
        }
    };
}

/// Why an object is not read. `escaped`: such a name may be another spelling of one that is there.
/// `cased`: so may this one, for a server that does not tell cases apart.
pub const Problem = union(enum) { syntax, twice: []const u8, escaped, cased, crowded };

pub fn Object(comptime Names: type) type {
    return union(enum) { members: Members(Names), problem: Problem };
}

const Kind = enum { plain, quote, open, close, strange };

/// What may stand outside of texts. Whatever a lenient parser knows besides, like comments, could
/// make it see another `model` than we do.
const kinds: [256]Kind = table: {
    var found: [256]Kind = @splat(.strange);
    for (0..128) |each| if (std.ascii.isAlphanumeric(each)) {
        found[each] = .plain;
    };
    for (",:+-. \t\r\n") |each| found[each] = .plain;
    for ("{[") |each| found[each] = .open;
    for ("}]") |each| found[each] = .close;
    found['"'] = .quote;
    break :table found;
};

/// Return the place after the text whose opening quote stands at `at`.
fn afterText(text: []const u8, at: usize) ?usize {
    var from = at + 1;
    while (std.mem.indexOfScalarPos(u8, text, from, '"')) |hit| {
        var back = hit;
        // The opening quote ends this, if nothing else does.
        while (text[back - 1] == '\\') back -= 1;
        if ((hit - back) % 2 == 0) return hit + 1;
        from = hit + 1;
    }
    return null;
}

/// Return the place after the value that begins at `at`, which is in the text.
pub fn afterValue(text: []const u8, at: usize) ?usize {
    if (text[at] == '"') return afterText(text, at);
    var here = at;
    if (kinds[text[at]] != .open) {
        while (here < text.len and isOfWord(text[here])) here += 1;
        return if (here > at) here else null;
    }
    var depth: usize = 0;
    while (here < text.len) switch (kinds[text[here]]) {
        .plain => here += 1,
        .quote => here = afterText(text, here) orelse return null,
        .open => {
            depth += 1;
            if (depth > deepest) return null;
            here += 1;
        },
        .close => {
            depth -= 1;
            here += 1;
            if (depth == 0) return here;
        },
        .strange => return null,
    };
    return null;
}

fn isOfWord(each: u8) bool {
    return std.ascii.isAlphanumeric(each) or each == '.' or each == '+' or each == '-';
}

/// Return the place of the next byte that is no space; the text's end where there is none.
pub fn skipSpace(text: []const u8, at: usize) usize {
    return std.mem.indexOfNonePos(u8, text, at, " \t\r\n") orelse text.len;
}

/// Return the place after the mark that is the next byte but for spaces.
pub fn afterMark(text: []const u8, at: usize, mark: u8) ?usize {
    const here = skipSpace(text, at);
    return if (here < text.len and text[here] == mark) here + 1 else null;
}

fn isCased(comptime Names: type, name: []const u8) bool {
    inline for (std.meta.fields(Names)) |each| {
        if (std.ascii.eqlIgnoreCase(each.name, name)) return true;
    }
    return false;
}

/// Return where the members of the object stand that is all of `text`.
pub fn read(comptime Names: type, text: []const u8) Object(Names) {
    var members: Members(Names) = .{};
    var seen: [most_members]u64 = undefined;
    const wrong: Object(Names) = .{ .problem = .syntax };
    const inside = afterMark(text, 0, '{') orelse return wrong;
    if (afterMark(text, inside, '}')) |end| {
        return if (skipSpace(text, end) == text.len) .{ .members = members } else wrong;
    }
    var at = skipSpace(text, inside);
    while (at < text.len and text[at] == '"') {
        const ended = afterText(text, at) orelse return wrong;
        const name = text[at + 1 .. ended - 1];
        const colon = afterMark(text, ended, ':') orelse return wrong;
        const value = skipSpace(text, colon);
        if (value == text.len) return wrong;
        const after = afterValue(text, value) orelse return wrong;

        const hash = std.hash.Wyhash.hash(0, name);
        if (std.mem.indexOfScalar(u64, seen[0..members.count], hash) != null) {
            return .{ .problem = .{ .twice = name } };
        }
        if (std.mem.indexOfScalar(u8, name, '\\') != null) return .{ .problem = .escaped };
        if (members.count == most_members) return .{ .problem = .crowded };
        seen[members.count] = hash;
        members.count += 1;
        if (std.meta.stringToEnum(Names, name)) |known| {
            members.values.set(known, .{ .from = value, .to = after });
        } else if (isCased(Names, name)) return .{ .problem = .cased };

        if (afterMark(text, after, '}')) |end| {
            return if (skipSpace(text, end) == text.len) .{ .members = members } else wrong;
        }
        at = skipSpace(text, afterMark(text, after, ',') orelse return wrong);
    }
    return wrong;
}

/// Return the number that a value is, where it is digits only and not larger than `most`.
pub fn whole(value: []const u8, most: u64) ?u64 {
    for (value) |each| if (!std.ascii.isDigit(each)) return null;
    const number = std.fmt.parseInt(u64, value, 10) catch return null;
    return if (number <= most) number else null;
}

/// Return what stands between the quotes, where the value is a text.
pub fn unquoted(value: []const u8) ?[]const u8 {
    return if (value.len >= 2 and value[0] == '"') value[1 .. value.len - 1] else null;
}

/// Return what of a name is written down, as it can stand in a text of JSON and in a short line.
pub fn logged(room: *[longest_logged]u8, name: []const u8) []const u8 {
    const length = @min(name.len, room.len);
    for (name[0..length], room[0..length]) |each, *place| {
        const is_plain = std.ascii.isPrint(each) and each != '"' and each != '\\';
        place.* = if (is_plain) each else '?';
    }
    return room[0..length];
}

pub const longest_logged = 200;
