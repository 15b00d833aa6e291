/** What all models in a worker have in common on the page's side. */
import { DeviceError, InputError } from '../core/errors.ts';
import { checkByName } from '../core/known-names.ts';
import type { Caps } from '../gpu/caps.ts';
import type { GpuOptions } from '../gpu/device.ts';
import type { PlainTuning } from '../gpu/device-tuning.ts';
import type { DeviceModelOptions } from '../pipeline/runtime/model-options.ts';
import { type Lent, Peer, type PortLike, type Remote } from './peer.ts';

/** Which worker a model lives in, and on which device. */
export interface WorkerOptions {
  /**
   * A worker that runs `pentimento`'s own script, or a port to one: several models share it and its device then, and it outlives
   * them. By default each model has a worker of its own, which ends with it.
   */
  readonly worker?: PortLike | undefined;
  /** Which device the worker opens; models of one worker with the same wishes share one. */
  readonly gpuOptions?: WorkerGpuOptions | undefined;
}

/** Options of `Gpu.request` as plain data. */
export interface WorkerGpuOptions extends Omit<GpuOptions, 'gpu' | 'device' | 'availableBytes' | 'tuning'> {
  /** As for `Gpu.request`, but no function. */
  tuning?: PlainTuning | undefined;
}

/** Options of a model in a worker: its own, without a device of the page's. */
export type InWorker<Options extends DeviceModelOptions> = Omit<Options, 'gpu'> & WorkerOptions;

/** Bytes that a model holds. */
interface Memory {
  readonly bytes: number;
  readonly hostBytes: number;
  readonly peakBytes: number;
}

/** @internal What `open` answers. */
export interface Opened<Facts> {
  readonly peer: Peer;
  readonly id: number;
  readonly facts: Facts;
  readonly memory: Memory;
  /** Ends the worker, if it is this model's own. */
  readonly end: (error: Error) => void;
  /** Of the listeners that the model was opened with. */
  readonly listeners: Pick<Lent, 'takeThrown' | 'reportWhen'>;
  /** Calls that have not ended, of all pipelines on the model. */
  readonly calls: { running: number };
}

/** An iterator in the worker. */
interface Steps {
  readonly next: Remote;
  readonly leave: Remote;
}

/** A model in a worker. One call at a time; the page stays free meanwhile. */
export abstract class WorkerModel {
  /** What its device grants. */
  readonly caps: Caps;
  /** Of activations, and, for float16, of weights. */
  readonly dtype: 'float32' | 'float16';
  readonly #opened: Opened<unknown>;
  #memory: Memory;
  #disposed = false;

  /** @internal */
  protected constructor(opened: Opened<{ readonly caps: Caps; readonly dtype: 'float32' | 'float16' }>) {
    this.caps = opened.facts.caps;
    this.dtype = opened.facts.dtype;
    this.#opened = opened;
    this.#memory = opened.memory;
    opened.listeners.reportWhen(() => opened.calls.running === 0);
  }

  /** Device bytes that it held behind the last call. */
  get bytes(): number {
    return this.#memory.bytes;
  }

  /** Bytes of weights that the worker held behind the last call. */
  get hostBytes(): number {
    return this.#memory.hostBytes;
  }

  /** The most device bytes that it had held at once until then. */
  get peakBytes(): number {
    return this.#memory.peakBytes;
  }

  /** Keeps one network on the device at a time. @throws DeviceError while a call is running */
  async enableModelCpuOffload(): Promise<void> {
    await this.call('enableModelCpuOffload', []);
  }

  /** Takes everything off the device; the next call loads it again. @throws DeviceError while a call is running */
  async unload(): Promise<void> {
    await this.call('unload', []);
  }

  /** Frees everything, and ends the worker where it was the model's own. Calls that run end with a DeviceError. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { peer, id, end } = this.#opened;
    peer.call('dispose', 'dispose', [id]).catch(() => undefined);
    end(new DeviceError({ op: 'dispose', problem: 'the model was disposed', fix: 'Open it again.' }));
  }

  /** @internal A method of the model in the worker. */
  protected async call<T>(method: string, args: readonly unknown[], keep = false): Promise<T> {
    this.#check(method);
    const { peer, id } = this.#opened;
    const { value, end } = await this.#heeding(() => peer.lend('call', method, [id, method, args]));
    if (!keep) end();
    const answer = value as { readonly value: T; readonly memory: Memory };
    this.#memory = answer.memory;
    return answer.value;
  }

  /** @internal Another pipeline on the same model. */
  protected async face<Facts>(kind: string, options: object): Promise<Opened<Facts>> {
    this.#check('as');
    checkByName('as', options);
    const { peer, id } = this.#opened;
    const opened = (await peer.call('as', 'as', [id, kind, options])) as Pick<Opened<Facts>, 'id' | 'facts' | 'memory'>;
    return { ...this.#opened, ...opened };
  }

  /** Work of the worker's, which ends by what a listener throws meanwhile: one of the call's, or of those that the model was opened with. */
  async #heeding<T>(work: () => Promise<T>, own?: Lent): Promise<T> {
    const { listeners, calls } = this.#opened;
    calls.running++;
    try {
      const result = await work();
      const thrown = own?.takeThrown() ?? listeners.takeThrown();
      if (thrown) throw thrown.error;
      return result;
    } catch (error) {
      const thrown = own?.takeThrown() ?? listeners.takeThrown();
      throw thrown ? thrown.error : error;
    } finally {
      calls.running--;
    }
  }

  /** @internal A method that yields: the worker waits between two steps. */
  protected async *steps<Event, T>(method: string, args: readonly unknown[]): AsyncGenerator<Event, T> {
    this.#check(method);
    checkByName(method, args[0]);
    const { peer, id } = this.#opened;
    const lent = await peer.lend('steps', method, [id, method, args]);
    const { next, leave } = lent.value as Steps;
    let ended = false;
    try {
      for (;;) {
        const step = (await this.#heeding(next, lent)) as {
          readonly done: boolean;
          readonly value: unknown;
          readonly memory: Memory;
        };
        this.#memory = step.memory;
        ended = step.done;
        if (step.done) return step.value as T;
        yield step.value as Event;
      }
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      if (!ended && !this.#disposed) await leave();
      peer.drop([next.id, leave.id]);
      lent.end();
    }
  }

  #check(op: string): void {
    if (!this.#disposed) return;
    throw new DeviceError({ op, problem: 'the model was disposed', fix: 'Open it again.' });
  }
}

const peers = new WeakMap<PortLike, Peer>();
/** Workers whose script never ran: nobody would answer. */
const dead = new WeakMap<PortLike, DeviceError>();

/** This side of a connection: one a port. @throws DeviceError for a worker whose script never ran */
function peerOf(op: string, port: PortLike): Peer {
  const failure = dead.get(port);
  if (failure) throw failure;
  const known = peers.get(port);
  if (known) return known;
  const peer = new Peer(port);
  peers.set(port, peer);
  const failed = (event: object): void => {
    const { type, message, fix } = event as Partial<Record<'type' | 'message' | 'fix', string>>;
    // Only what a script throws has a message: without one the script, or a file of it, did not come.
    const absent = type === 'error' && !message;
    const error = new DeviceError({
      ...{ op, problem: 'the worker failed' },
      received: message || (absent ? 'its script did not come' : 'no reason was told'),
      fix: fix ?? (absent ? 'Try again with a new worker, or reload the page.' : 'Look into the console.'),
    });
    if (absent) dead.set(port, error);
    peer.close(error);
    peers.delete(port);
    for (const name of ['error', 'messageerror'] as const) port.removeEventListener(name, failed);
  };
  for (const name of ['error', 'messageerror'] as const) port.addEventListener(name, failed);
  return peer;
}

/**
 * Opens a model in a worker.
 * @param start makes a worker where the options name none
 * @throws what the model's fromPretrained throws; DeviceError for a worker that does not start
 */
export async function openInWorker<Facts>(
  op: string,
  kind: string,
  source: unknown,
  options: WorkerOptions & DeviceModelOptions,
  start: () => PortLike,
): Promise<Opened<Facts>> {
  checkByName(op, options);
  const { worker, onWarning = (message: string): void => console.warn(message), ...own } = options;
  if (worker !== undefined && typeof Object(worker).postMessage !== 'function')
    throw new InputError({ op, problem: 'no worker', expected: 'a Worker or a MessagePort', path: 'worker' });
  options.signal?.throwIfAborted();
  const port = worker ?? start();
  const peer = peerOf(op, port);
  const end = (error: Error): void => {
    if (worker !== undefined) return;
    peer.close(error);
    (port as Partial<Worker>).terminate?.();
  };
  try {
    const { value, ...listeners } = await peer.lend('open', op, [kind, source, { ...own, onWarning }]);
    const { id, facts, memory } = value as { id: number; facts: Facts; memory: Memory };
    return { peer, id, facts, memory, end, listeners, calls: { running: 0 } };
  } catch (error) {
    end(new DeviceError({ op, problem: 'the model was not opened', cause: error }));
    throw error;
  }
}
