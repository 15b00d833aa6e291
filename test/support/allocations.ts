/** How much memory and time code under test takes, and memory that shows when it hands out what is not its own. */

const NAMES = [
  ...(['ArrayBuffer', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array'] as const),
  ...(['Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array'] as const),
] as const;
type Name = (typeof NAMES)[number];
type Plain = new (...args: never[]) => object;

/** Every buffer that code under test creates, whether or not it is freed again, in bytes. One at a time. */
export class Allocations {
  bytes = 0;
  readonly #plain = new Map<Name, Plain>();

  /** Counts from here until `stop`. */
  start(): void {
    for (const name of NAMES) {
      const plain = globalThis[name] as Plain;
      this.#plain.set(name, plain);
      const watched: Plain = new Proxy(plain, {
        construct: (target, args: never[], made) => {
          const array: object = Reflect.construct(target, args, made === watched ? target : made);
          const [of]: unknown[] = args;
          const isView = typeof of === 'object' && of !== null && 'byteLength' in of && !('length' in of);
          if (!isView) this.bytes += Reflect.get(array, 'byteLength');
          return array;
        },
      });
      Object.assign(globalThis, { [name]: watched });
    }
  }

  stop(): void {
    for (const [name, plain] of this.#plain) Object.assign(globalThis, { [name]: plain });
  }
}

interface Outcome<T> {
  readonly value?: T;
  readonly error?: unknown;
  readonly sizeBytes: number;
  /** On the clock or of the processor, whichever is less: other processes do not count. */
  readonly elapsedMs: number;
}

/** Runs a reader and adds up the buffers that it makes. */
export async function allocated<T>(run: () => T | Promise<T>): Promise<Outcome<T>> {
  const allocations = new Allocations();
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const taken = () => {
    const { user, system } = process.cpuUsage(cpu);
    return { sizeBytes: allocations.bytes, elapsedMs: Math.min(performance.now() - start, (user + system) / 1000) };
  };
  allocations.start();
  try {
    return { value: await run(), ...taken() };
  } catch (error) {
    return { error, ...taken() };
  } finally {
    allocations.stop();
  }
}

/** Fills memory that is free at the moment, and Node's pool, with a text. */
export function poisonMemory(text: string): void {
  for (const size of [64, 1000, 4000, 16_384, 65_536]) Buffer.allocUnsafe(size).fill(text);
}
