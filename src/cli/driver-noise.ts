/**
 * Dawn prints two lines to the process's stderr for each adapter of Mesa, from native code and without a switch for it. No program can
 * filter what native code writes to its own stderr, so on Linux the bin runs as a child of itself, and the parent passes on
 * everything that the child prints except these lines. On a terminal the child writes its own messages to the terminal itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { WriteStream } from 'node:tty';
import { codeAfter, watchStreams } from './streams.ts';

const START = 'Warning: maxDynamic';
const NOISE =
  /^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced from \d+ to \d+ to fit dynamic offset allocation limit\.$/;

/** Set for the child; its value says whether file descriptor 3 is a terminal for its messages. */
const CHILD = 'PENTIMENTO_CHILD';
const TERMINAL = 3;
/** A child that hangs in native code is killed so many milliseconds after the second Ctrl-C. */
const LAST_WORDS_MS = 1000;

/** What the parent tells the child: Ctrl-C was pressed, or the process is asked to end. */
type Order = 'interrupt' | 'end';

/** Takes text in pieces and gives it back without Dawn's lines; holds back only what may become one of them. */
export class NoiseFilter {
  #held = '';

  /** @returns what may be printed of the text so far */
  push(text: string): string {
    const lines = (this.#held + text).split('\n');
    const last = lines.pop() ?? '';
    this.#held = last !== '' && START.startsWith(last.slice(0, START.length)) ? last : '';
    const whole = lines.filter(line => !NOISE.test(line)).map(line => `${line}\n`);
    return whole.join('') + (this.#held === '' ? last : '');
  }

  /** @returns what was held back when the text ended */
  end(): string {
    return NOISE.test(this.#held) ? '' : this.#held;
  }
}

/** Whether this process is the child. A channel alone may be that of another program, the variable alone one that was inherited. */
export function isChild(): boolean {
  return process.connected === true && process.env[CHILD] !== undefined;
}

/** Whether this process shall run the program in a child: on Linux, where it is not that child itself. */
export function needsChild(): boolean {
  return process.platform === 'linux' && !isChild();
}

/**
 * Runs this program once more in a child whose stderr is filtered.
 * @returns the child's exit code, 128 + n where signal n ended it; undefined where no child could be started
 */
export async function runInChild(): Promise<number | undefined> {
  const { stderr } = process;
  const terminal = stderr.isTTY === true;
  const child = start(terminal);
  if (!child) return undefined;
  const send = (order: Order) => {
    if (child.connected) child.send(order);
  };
  let interrupts = 0;
  const onInterrupt = () => {
    send('interrupt');
    interrupts++;
    if (interrupts > 1) setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS).unref();
  };
  const onEnd = () => send('end');
  process.on('SIGINT', onInterrupt).on('SIGTERM', onEnd);
  const filter = new NoiseFilter();
  const written = watchStreams({ stderr });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => stderr.write(filter.push(text)));
  const code = await new Promise<number | undefined>(resolve => {
    child.on('error', () => resolve(undefined));
    child.on('close', (status, signal) => resolve(status ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  stderr.write(filter.end());
  process.off('SIGINT', onInterrupt).off('SIGTERM', onEnd);
  return code === undefined ? undefined : codeAfter(await written(), code);
}

/** The child; undefined where Node refuses at once, as its permission model does. */
function start(terminal: boolean): ChildProcess | undefined {
  try {
    return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ['inherit', 'inherit', 'pipe', terminal ? 2 : 'ignore', 'ipc'],
      env: { ...process.env, [CHILD]: terminal ? 'terminal' : 'pipe' },
    });
  } catch {
    return undefined;
  }
}

/**
 * The child's side: where it prints its messages, and what it does when the parent is told to stop. Ctrl-C reaches both processes
 * of a terminal; the child acts on the parent's word alone, or one key press would count as two.
 */
export function asChild(interrupt: () => void, end: () => void): void {
  process.on('SIGINT', () => {});
  process.on('message', (order: Order) => (order === 'interrupt' ? interrupt() : end()));
  process.on('disconnect', end);
}

/** The stream for the program's own messages in this process. */
export function messageStream(): NodeJS.WriteStream {
  return isChild() && process.env[CHILD] === 'terminal' ? new WriteStream(TERMINAL) : process.stderr;
}
