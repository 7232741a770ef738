// A real nginx, which receives PROXY headers and sends its own.

import { canNet, canRead, canRun, canWrite } from "./_permissions.ts";
import { isInstalled, Program } from "./_programs.ts";
import { canIpv6 } from "./_serving.ts";
import { makeTempDir } from "./_temp_dir.ts";

/** Debian's nginx has this module in a file, others have it built in. */
const STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so";

export const hasNginx: boolean = canNet && canRead && canWrite && canIpv6 &&
  Deno.build.os === "linux" && await canRun("python3") && await isInstalled("nginx");

// nginx does not accept port 0. It takes listening sockets, which a variable names (as when it upgrades itself).
const START = `
import os, socket, sys
path, back = sys.argv[1:]
sockets = [
    socket.create_server(("127.0.0.1", 0)),
    socket.create_server(("::1", 0), family=socket.AF_INET6),
]
for listening in sockets:
    os.set_inheritable(listening.fileno(), True)
ports = [listening.getsockname()[1] for listening in sockets]
with open(path + "/nginx.conf", "w") as file:
    file.write(f"""
${await exists(STREAM) ? `load_module ${STREAM};` : ""}
daemon off;
error_log stderr;
pid {path}/nginx.pid;
events {{ worker_connections 64; }}
stream {{
  set_real_ip_from 127.0.0.1;
  set_real_ip_from ::1;
  proxy_protocol on;
  server {{ listen 127.0.0.1:{ports[0]} proxy_protocol; proxy_pass 127.0.0.1:{back}; }}
  server {{ listen [::1]:{ports[1]} proxy_protocol; proxy_pass 127.0.0.1:{back}; }}
}}
""")
os.environ["NGINX"] = "".join(f"{listening.fileno()};" for listening in sockets)
print(*ports, flush=True)
os.execvp("nginx", ["nginx", "-p", path, "-e", "stderr", "-c", path + "/nginx.conf"])
`;

async function exists(path: string): Promise<boolean> {
  return canRead && await Deno.stat(path).then(() => true, () => false);
}

/** A running nginx in front of a port. */
export interface Nginx extends AsyncDisposable {
  /** Its ports on 127.0.0.1 and ::1, where it expects PROXY headers. */
  ports: [ipv4: number, ipv6: number];
}

export async function startNginx(back: number): Promise<Nginx> {
  await using all = new AsyncDisposableStack();
  const { path } = all.use(await makeTempDir());
  const program = all.use(new Program("python3", ["-c", START, path, `${back}`]));
  const [, ipv4, ipv6] = await program.stdout.until(/^(\d+) (\d+)\n/);
  const running = all.move();
  return {
    ports: [Number(ipv4), Number(ipv6)],
    async [Symbol.asyncDispose](): Promise<void> {
      program.kill("SIGTERM"); // which its worker hears of, unlike the end of its master
      await program.ended();
      await running.disposeAsync();
    },
  };
}
