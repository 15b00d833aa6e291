/** Every buffer that code under test creates, in bytes: an upper bound of what it holds at a time. */
export class Allocations {
  bytes = 0;
  readonly #saved = new Map<Name, unknown>();

  /** Counts from here until `stop`. */
  start(): void {
    for (const name of NAMES) {
      const real = globalThis[name];
      this.#saved.set(name, real);
      const construct = (target: typeof real, args: unknown[], by: new () => unknown): object => {
        const made: ArrayBuffer | Uint8Array = Reflect.construct(target, args, by);
        if (!(args[0] instanceof ArrayBuffer)) this.bytes += made.byteLength;
        return made;
      };
      const counted = new Proxy(real, { construct });
      Object.assign(globalThis, { [name]: counted });
    }
  }

  stop(): void {
    for (const [name, real] of this.#saved) Object.assign(globalThis, { [name]: real });
  }
}

const NAMES = ['ArrayBuffer', 'Uint8Array', 'Uint16Array', 'Uint32Array', 'Float32Array', 'Float64Array'] as const;
type Name = (typeof NAMES)[number];
