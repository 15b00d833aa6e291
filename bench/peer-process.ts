/** A peer's process: one question at a time, a JSON object a line. What it prints besides is its own affair. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { PeerAnswer, PeerQuestion } from './peer-protocol.ts';
import type { PeerName } from './schema.ts';

/** Of what it prints on stderr, so much is kept to be told. */
const LAST_WORDS = 2000;
/** Processes that this one must not outlive. */
const running = new Set<PeerProcess>();
process.on('exit', () => {
  for (const peer of running) peer.kill();
});

/** A running peer. */
export class PeerProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  #waiting: ((answer: PeerAnswer) => void) | undefined;
  #ended: string | undefined;
  #words = '';

  /** @param script the program, which takes the peer's name */
  constructor(script: string, name: PeerName) {
    this.#child = spawn(process.execPath, [script, name], { stdio: 'pipe' });
    running.add(this);
    this.#child.on('error', error => this.#end(`it could not be started: ${error.message}`));
    this.#child.on('close', (code, signal) => this.#end(`it ended with ${signal ?? `code ${code}`}${this.#said()}`));
    this.#child.stdin.on('error', () => {}); // told by its end
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#words = (this.#words + text).slice(-LAST_WORDS);
    });
    createInterface({ input: this.#child.stdout }).on('line', line => this.#take(line));
  }

  /** Why it is no longer there; undefined while it is. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** Asks and waits; what does not come in time, or at all, is `failed`, and the process is ended. */
  async ask(question: PeerQuestion, timeoutMs: number): Promise<PeerAnswer> {
    if (this.#ended !== undefined) return { failed: this.#ended };
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<PeerAnswer>(resolve => {
      this.#waiting = resolve;
      timer = setTimeout(() => {
        this.kill(`it did not answer within ${timeoutMs / 1000} s`);
      }, timeoutMs);
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
    clearTimeout(timer);
    return answer;
  }

  /** Ends the process, whatever it does. */
  kill(why = 'it was ended'): void {
    this.#end(why);
    this.#child.kill('SIGKILL');
  }

  #take(line: string): void {
    const waiting = this.#waiting;
    if (!waiting || !line.startsWith('{')) return;
    try {
      const answer = JSON.parse(line) as PeerAnswer;
      this.#waiting = undefined;
      waiting(answer);
    } catch {
      // an engine's own words that begin like an object
    }
  }

  #end(why: string): void {
    running.delete(this);
    this.#ended ??= why;
    this.#waiting?.({ failed: this.#ended });
    this.#waiting = undefined;
  }

  #said(): string {
    const last = this.#words.trim().split('\n').at(-1);
    return last ? `: ${last}` : '';
  }
}
