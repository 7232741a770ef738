// The tests of servers and of clients that run again over `node:net`, with handles and without.

import "../../serve/accept_test.ts";
import "../../serve/admission_test.ts";
import "../../serve/handler_test.ts";
import "../../serve/limits_test.ts";
import "../../serve/memory_test.ts";
import "../../serve/observing_test.ts";
import "../../serve/proxy_limits_test.ts";
import "../../serve/proxy_test.ts";
import "../../serve/serve_test.ts";
import "../../serve/shutdown_test.ts";
import "../../serve/tls_refusal_test.ts";
import "../../serve/tls_test.ts";
import "../../connect/connect_test.ts";
import "../../connect/connect_tls_test.ts";
import "../../connect/reconnect_ending_test.ts";
import "../../connect/reconnect_random_test.ts";
import "../../connect/reconnect_test.ts";
import "../../transport/unix_test.ts";
