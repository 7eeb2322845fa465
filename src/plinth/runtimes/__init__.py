"""Model servers, as data; and our own thin one."""
