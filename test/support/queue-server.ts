/** A Valkey or Redis of Debian's on loopback, for tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A server that can be killed and started again with what it kept. */
export interface QueueServer {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** Ends it without a word. */
  kill(): Promise<void>;
  /** Ends it, and removes what it kept. */
  stop(): Promise<void>;
}

/** Starts one. @param o.password that it asks for */
export async function startQueueServer({ password }: { password?: string } = {}): Promise<QueueServer> {
  const program = ['valkey-server', 'redis-server'].find(name => spawnSync(name, ['--version']).status === 0);
  if (!program) throw new Error('neither valkey-server nor redis-server is installed: scripts/setup-debian.sh --queue');
  const folder = await mkdtemp(join(tmpdir(), 'pentimento-queue-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const kept = ['--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
  const server: QueueServer = {
    port,
    url: `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`,
    async start() {
      const secret = password === undefined ? [] : ['--requirepass', password];
      const begun = spawn(program, ['--port', `${port}`, '--bind', '127.0.0.1', ...kept, ...secret], { stdio: 'pipe' });
      child = begun;
      await new Promise<void>((done, failed) => {
        let said = '';
        begun.stdout.on('data', (text: Buffer) => {
          said += text.toString();
          if (said.includes('Ready to accept connections')) done();
        });
        begun.on('exit', code => failed(new Error(`${program} ended with ${code}: ${said.slice(-500)}`)));
      });
    },
    async kill() {
      const ended = child;
      child = undefined;
      if (!ended || ended.exitCode !== null || ended.signalCode !== null) return;
      const gone = new Promise(done => ended.once('exit', done));
      ended.kill('SIGKILL');
      await gone;
    },
    async stop() {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
