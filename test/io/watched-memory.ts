/** How much memory and time a decoder takes, and memory that shows when it hands out what is not its own. */

const ARRAYS = [
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'ArrayBuffer',
];

interface Outcome<T> {
  readonly value?: T;
  readonly error?: unknown;
  /** Of all arrays that were made, whether or not they were freed again. */
  readonly sizeBytes: number;
  /** On the clock or of the processor, whichever is less: other processes do not count. */
  readonly elapsedMs: number;
}

/** Runs a reader and adds up the arrays that it makes. One at a time. */
export async function allocated<T>(run: () => T | Promise<T>): Promise<Outcome<T>> {
  let sizeBytes = 0;
  const plain = new Map(ARRAYS.map(name => [name, Reflect.get(globalThis, name) as new (size: number) => object]));
  for (const [name, type] of plain) {
    const watched = new Proxy(type, {
      construct(target, args: [unknown], made) {
        const array: object = Reflect.construct(target, args, made === watched ? target : made);
        const isView =
          typeof args[0] === 'object' && args[0] !== null && 'byteLength' in args[0] && !('length' in args[0]);
        if (!isView) sizeBytes += Reflect.get(array, 'byteLength') as number;
        return array;
      },
    });
    Reflect.set(globalThis, name, watched);
  }
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const elapsed = (): number => {
    const { user, system } = process.cpuUsage(cpu);
    return Math.min(performance.now() - start, (user + system) / 1000);
  };
  try {
    return { value: await run(), sizeBytes, elapsedMs: elapsed() };
  } catch (error) {
    return { error, sizeBytes, elapsedMs: elapsed() };
  } finally {
    for (const [name, type] of plain) Reflect.set(globalThis, name, type);
  }
}

/** Fills memory that is free at the moment, and Node's pool, with a text. */
export function poisonMemory(text: string): void {
  for (const size of [64, 1000, 4000, 16_384, 65_536]) Buffer.allocUnsafe(size).fill(text);
}
