/**
 * One end of a connection: calls of the other end's functions, and answers to its calls. Both ends are alike, so that a callback in the
 * page and a reader of latents in the worker are the same thing.
 */
import { DeviceError, InputError } from '../core/errors.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { clonedErrorData, type ErrorData, errorFrom } from './error-data.ts';
import { buffersOf, type Packer, pack, type StreamLike } from './pack.ts';
import { Scope, type Thrown } from './scope.ts';
import { type Unpacker, unpack } from './unpack.ts';

/** What messages go through: a `Worker`, a `MessagePort`, or a worker's own global object. */
export interface PortLike {
  /** Sends; takes the buffers along. */
  postMessage(message: unknown, options?: { transfer?: ArrayBuffer[] }): void;
  /** Hears what the other end sends. */
  addEventListener(type: 'message' | 'messageerror' | 'error', listener: (event: object) => void): void;
  /** Hears no more. */
  removeEventListener(type: 'message' | 'messageerror' | 'error', listener: (event: object) => void): void;
  /** Of a `MessagePort`: begins to hear. */
  start?(): void;
}

/** Of all messages: another version is told so, not misunderstood. */
const PROTOCOL = 1;

type Message =
  | {
      readonly pentimento: number;
      readonly is: 'call';
      readonly id: number;
      readonly of: number | string;
      readonly args: unknown;
    }
  | {
      readonly pentimento: number;
      readonly is: 'value';
      readonly id: number;
      readonly value: unknown;
      readonly streams: unknown;
    }
  | { readonly pentimento: number; readonly is: 'error'; readonly id: number; readonly error: ErrorData }
  | { readonly pentimento: number; readonly is: 'aborted'; readonly id: number; readonly signal: number }
  | ({ readonly pentimento: number } & Told);

/** What needs no answer. */
type Told =
  | { readonly is: 'signal'; readonly id: number; readonly reason: ErrorData }
  | { readonly is: 'drop'; readonly ids: readonly number[] }
  | { readonly is: 'ended'; readonly signals: readonly number[] };

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What a call answered, and what it lent. */
export interface Lent {
  readonly value: unknown;
  /** Takes back what was lent. */
  readonly end: () => void;
  /** What a listener has thrown since the call ended, once. */
  readonly takeThrown: () => Thrown | undefined;
  /** Says when what a listener throws is to be reported, because no call runs that it could end. */
  readonly reportWhen: (idle: () => boolean) => void;
}

/** A random stream that the worker drew from. */
export interface Drawn {
  readonly id: number;
  readonly stream: StreamLike;
}

/** What answers the calls that go to names. */
export interface Answers {
  /** @returns what the caller gets; its functions stay callable */
  answer(name: string, args: readonly unknown[]): Promise<unknown>;
  /** Whether what a call returned belongs to nobody else: its arrays are given away, not copied. */
  givesAway(args: readonly unknown[]): boolean;
  /** Makes schedulers, random streams and folders of notes. */
  make?: (note: unknown, unpacked: Readonly<Record<string, unknown>>, drawn: Drawn[]) => unknown;
}

const oneAtATime = new WeakSet<(...args: never) => unknown>();

/** Marks a function whose answer's own functions hold until it is asked again, such as an iterator's `next`. */
export function answersOneAtATime<F extends (...args: never) => unknown>(work: F): F {
  oneAtATime.add(work);
  return work;
}

/** A function of the other end. */
export interface Remote {
  (...args: unknown[]): Promise<unknown>;
  /** Its number there. */
  readonly id: number;
}

/** One end. */
export class Peer {
  /** @internal Random streams that calls have lent. */
  readonly streams: Map<number, StreamLike> = new Map();
  /** @internal Signals that calls have lent. */
  readonly watched: Map<number, AbortSignalLike> = new Map();
  readonly #port: PortLike;
  readonly #answers: Answers | undefined;
  readonly #functions = new Map<number, (...args: never) => unknown>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #signals = new Map<number, AbortController>();
  readonly #heard = (event: object): void => this.#hear((event as { readonly data?: unknown }).data);
  /** Listeners of the other end that have thrown: the next word to them throws here, and that ends the call. */
  readonly #failed = new Map<number, Thrown>();
  /** What functions that answer one at a time lent with their last answer. */
  readonly #lentLast = new Map<number, number[]>();
  /** Random streams from which functions draw that an answer has lent. */
  readonly #drawn = new Map<number, Drawn[]>();
  #last = 0;
  #closed: Error | undefined;

  constructor(port: PortLike, answers?: Answers) {
    [this.#port, this.#answers] = [port, answers];
    port.addEventListener('message', this.#heard);
    port.start?.();
  }

  /**
   * Calls a function of the other end.
   * @param of its number, or a name
   * @param op for messages
   * @throws what it throws, an error of the same class; a signal's own reason
   */
  async call(of: number | string, op: string, args: readonly unknown[]): Promise<unknown> {
    const { value, end } = await this.lend(of, op, args);
    end();
    return value;
  }

  /** `call` whose functions and signals the other end may use until `end` is called. */
  async lend(of: number | string, op: string, args: readonly unknown[]): Promise<Lent> {
    if (this.#closed) throw this.#closed;
    const scope = new Scope(this);
    const id = this.number();
    const answered = new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    answered.catch(() => undefined); // where packing fails, nobody waits
    try {
      const packed = pack(op, args, scope, typeof of === 'number');
      for (const { signal } of scope.signals.values()) signal.throwIfAborted();
      this.#send(op, { pentimento: PROTOCOL, is: 'call', id, of, args: packed }, false);
      const value = await answered;
      const thrown = scope.takeThrown();
      if (thrown) throw thrown.error;
      const reportWhen = (idle: () => boolean): void => {
        scope.idle = idle;
      };
      return { value, end: () => scope.end(), takeThrown: () => scope.takeThrown(), reportWhen };
    } catch (error) {
      scope.end();
      const thrown = scope.takeThrown();
      throw thrown ? thrown.error : error;
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Forgets functions of the other end that came with a result. */
  drop(ids: readonly number[]): void {
    this.tell({ is: 'drop', ids });
  }

  /** Ends all calls with an error; further ones too. */
  close(error: Error): void {
    if (this.#closed) return;
    this.#closed = error;
    this.#port.removeEventListener('message', this.#heard);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#functions.clear();
  }

  /** @internal */
  number(): number {
    return ++this.#last;
  }

  /** @internal */
  remember(work: (...args: never) => unknown): number {
    const id = this.number();
    this.#functions.set(id, work);
    if (oneAtATime.has(work)) this.#lentLast.set(id, []);
    return id;
  }

  /** @internal */
  forget(ids: readonly number[]): void {
    for (const id of ids) {
      this.#functions.delete(id);
      this.forget(this.#lentLast.get(id) ?? []);
      this.#lentLast.delete(id);
      this.#drawn.delete(id);
    }
  }

  /** @internal */
  tell(message: Told): void {
    if (!this.#closed) this.#port.postMessage({ pentimento: PROTOCOL, ...message });
  }

  #send(op: string, message: Message, transfer: boolean): void {
    try {
      if (transfer) this.#port.postMessage(message, { transfer: [...buffersOf(message)] });
      else this.#port.postMessage(message);
    } catch (cause) {
      const fix = 'Pass numbers, texts, arrays, pictures, Blobs and folders.';
      throw new InputError({ op, problem: 'an argument cannot be passed to a worker', fix, cause });
    }
  }

  #hear(data: unknown): void {
    const message = Object(data) as Message;
    if (message.pentimento === undefined) return; // of somebody else on the same port
    if (message.is === 'call') void this.#answer(message);
    else if (message.is === 'drop') this.forget(message.ids);
    else if (message.is === 'ended') for (const id of message.signals) this.#signals.delete(id);
    else if (message.is === 'signal') this.#signals.get(message.id)?.abort(errorFrom(message.reason));
    else this.#settle(message);
  }

  #settle(message: Message & { is: 'value' | 'error' | 'aborted' }): void {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    const { resolve, reject } = waiting;
    if (message.is === 'error') reject(errorFrom(message.error));
    else if (message.is === 'aborted') reject(this.watched.get(message.signal)?.reason);
    else {
      const streams = unpack(message.streams, this.#unpacker([])) as readonly (readonly [number, unknown])[];
      for (const [id, state] of streams) this.streams.get(id)?.setState(state);
      resolve(unpack(message.value, this.#unpacker([])));
    }
  }

  async #answer({ id, of, args, pentimento }: Message & { is: 'call' }): Promise<void> {
    const drawn = this.#drawn.get(Number(of)) ?? [];
    const lent: number[] = [];
    const keep: Packer['keep'] = work => {
      const number = this.remember(work);
      lent.push(number);
      return number;
    };
    if (typeof of === 'string') this.#failed.clear(); // a new call is not ended by what an earlier one was told
    try {
      if (pentimento !== PROTOCOL) throw otherVersion(pentimento);
      const given = unpack(args, this.#unpacker(drawn)) as unknown[];
      const value = await this.#perform(of, given);
      const packed = pack('worker', value, { keep, listen: keep, ask: keep, watch: () => 0, stream: () => 0 }, true);
      if (drawn.length > 0) for (const number of lent) this.#drawn.set(number, drawn);
      const streams = drawn.map(({ id: number, stream }) => [number, stream.getState()]);
      if (typeof of === 'number' && this.#lentLast.has(of)) {
        this.forget(this.#lentLast.get(of) ?? []);
        this.#lentLast.set(of, lent);
      }
      const away = typeof of === 'number' || this.#answers?.givesAway(given) === true;
      this.#send('worker', { pentimento: PROTOCOL, is: 'value', id, value: packed, streams }, away);
    } catch (error) {
      if (this.#closed) return;
      // A step ends by the signal of its call.
      const [signal] = [...this.#signals].find(([, own]) => own.signal.aborted && own.signal.reason === error) ?? [];
      const answer = signal === undefined ? { is: 'error', error: clonedErrorData(error) } : { is: 'aborted', signal };
      this.#port.postMessage({ pentimento: PROTOCOL, id, ...answer });
    }
  }

  async #perform(of: number | string, args: readonly unknown[]): Promise<unknown> {
    if (typeof of === 'string') return this.#answers?.answer(of, args);
    const work = this.#functions.get(of) as ((...given: readonly unknown[]) => unknown) | undefined;
    if (work) return work(...args);
    throw new InputError({ op: 'worker', problem: 'the call that this function belonged to is over' });
  }

  #unpacker(drawn: Drawn[]): Unpacker {
    const { make } = this.#answers ?? {};
    return {
      call: id => {
        const remote = (...args: unknown[]): Promise<unknown> => {
          const answer = this.call(id, 'worker', args);
          answer.catch(() => undefined); // listeners are not awaited
          return answer;
        };
        return Object.assign(remote, { id }) satisfies Remote;
      },
      tell: id => {
        const remote = (...args: unknown[]): Promise<unknown> => {
          const failed = this.#failed.get(id);
          this.#failed.delete(id);
          if (failed) throw failed.error;
          const answer = this.call(id, 'worker', args);
          answer.catch((error: unknown) => this.#failed.set(id, { error }));
          return answer;
        };
        return Object.assign(remote, { id }) satisfies Remote;
      },
      signal: id => {
        const known = this.#signals.get(id) ?? new AbortController();
        this.#signals.set(id, known);
        return known.signal;
      },
      ...(make && { make: (note, unpacked) => make(note, unpacked, drawn) }),
    };
  }
}

function otherVersion(received: unknown): DeviceError {
  return new DeviceError({
    op: 'worker',
    problem: 'page and worker are of different versions of this library',
    expected: `protocol ${PROTOCOL}`,
    received: `protocol ${received}`,
    fix: 'Reload the page.',
  });
}
