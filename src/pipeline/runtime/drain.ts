/** Runs a loop that nobody watches to its end. @returns its result */
export async function drain<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await steps.next();
    if (next.done) return next.value;
  }
}

/** Work without steps, where steps are asked for. */
export async function* withoutSteps<T>(work: () => Promise<T>): AsyncGenerator<never, T> {
  const result = await work();
  yield* [];
  return result;
}
