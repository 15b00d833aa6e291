/** A child process that answers questions, one at a time, in JSON lines; what it prints on stderr is kept for when it fails. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { DeviceError } from '../../src/core/errors.ts';

/** How a child is started. */
export interface ChildOptions {
  /** In words, for errors. */
  readonly label: string;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Ends the child, whatever it does. */
  readonly signal?: AbortSignal | undefined;
  /** A child that has not answered after so long is ended, ms. */
  readonly patienceMs: number;
}

/** Last lines of stderr that are kept. */
const KEPT_LINES = 40;
/** Lines of drivers and of their loader that say nothing of a failure. */
const NOISE = /artificially reduced from|^\s*(\[Vulkan Loader\] )?(INFO|DEBUG|WARNING|DRIVER|LAYER)\b.*:|^\s*$/;
/** The loader's word for the device that a program has opened, on Linux with VK_LOADER_DEBUG=driver. */
const OPENED = /Using "([^"]+)" with driver: "/;

/** Children that this process must not outlive, whatever they do. */
const running = new Set<PeerProcess>();
process.on('exit', () => {
  for (const child of running) child.close();
});

/** The child. */
export class PeerProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #options: ChildOptions;
  readonly #said: string[] = [];
  readonly #opened = new Set<string>();
  #waiting: { readonly resolve: (answer: object) => void; readonly reject: (error: unknown) => void } | undefined;
  #over: unknown;

  /** @param command a program with its arguments */
  constructor([program = '', ...args]: readonly string[], options: ChildOptions) {
    this.#options = options;
    const env = { VK_LOADER_DEBUG: 'driver', ...process.env, ...options.env };
    this.#child = spawn(program, args, { stdio: 'pipe', env });
    createInterface({ input: this.#child.stderr }).on('line', line => this.#hear(line));
    running.add(this);
    createInterface({ input: this.#child.stdout }).on('line', line => this.#take(line));
    this.#child.stdin.on('error', () => {}); // it has ended, which 'close' tells
    this.#child.on('error', cause => this.#end(this.#failure('it cannot be started', cause)));
    this.#child.on('close', (code, signal) => {
      this.#end(this.#failure(signal ? `it was ended by ${signal}` : `it ended with ${code}`));
    });
    options.signal?.addEventListener('abort', this.#abort, { once: true });
    if (options.signal?.aborted) this.#abort();
  }

  /** Whether it takes questions. */
  get alive(): boolean {
    return this.#over === undefined;
  }

  /** Names of the devices that it has opened, as the Vulkan loader tells them; empty where nobody tells. */
  get opened(): ReadonlySet<string> {
    return this.#opened;
  }

  /**
   * Asks, and waits for the answer.
   * @throws DeviceError where the child ends, or does not answer in time; the signal's reason
   */
  async ask(question: object): Promise<object> {
    if (this.#over !== undefined) throw this.#over;
    const answer = await new Promise<object>((resolve, reject) => {
      const { patienceMs } = this.#options;
      const late = setTimeout(() => {
        this.#end(this.#failure(`it gave no answer within ${patienceMs / 1000} s`));
      }, patienceMs);
      const settle =
        <T>(by: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(late);
          this.#waiting = undefined;
          by(value);
        };
      this.#waiting = { resolve: settle(resolve), reject: settle(reject) };
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
    // What was written to stderr before the answer is read in this turn of the event loop.
    await new Promise(resolve => setImmediate(resolve));
    return answer;
  }

  /** Ends the child. */
  close(): void {
    this.#end(this.#failure('it was closed'));
  }

  readonly #abort = (): void => this.#end(this.#options.signal?.reason);

  /** The child's end, of which the first cause is told. */
  #end(cause: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = cause;
    running.delete(this);
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#child.kill('SIGKILL');
    this.#waiting?.reject(cause);
  }

  /** What is no JSON some native code printed. */
  #take(line: string): void {
    const answer = parsed(line);
    if (answer) this.#waiting?.resolve(answer);
  }

  #hear(line: string): void {
    const opened = OPENED.exec(line)?.[1];
    if (opened) this.#opened.add(opened);
    if (NOISE.test(line) || opened) return;
    this.#said.push(line);
    if (this.#said.length > KEPT_LINES) this.#said.shift();
  }

  #failure(problem: string, cause?: unknown): DeviceError {
    // Node's own account of an error ends with its stack and version.
    const told = this.#said.find(line => /\bError\b/.test(line)) ?? this.#said.at(-1);
    return new DeviceError({
      op: 'bench',
      problem: `${this.#options.label}: ${problem}`,
      received: cause instanceof Error ? cause.message : told,
      fix: 'Leave it out of --against, or race on another --device.',
      cause,
    });
  }
}

function parsed(line: string): object | undefined {
  try {
    const answer: unknown = JSON.parse(line);
    return typeof answer === 'object' && answer !== null ? answer : undefined;
  } catch {
    return undefined;
  }
}
