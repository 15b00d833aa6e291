/** Whose turn it is among the models of a worker: the queue of the one that is loaded is emptied before another's. */
import type { Queue, Worker } from 'bullmq';

/** From one look at the other queues to the next, while there is nothing to do. */
const LOOK_MS = 1000;

/** Turns that are being taken. */
export interface ModelTurns {
  /** Nobody's turn comes any more. */
  stop(): void;
}

/**
 * Runs one of several workers at a time.
 * @param queues of the workers, in their order
 * @param workers that do not run yet, each with at most one job at a time
 */
export function modelTurns(queues: readonly Queue[], workers: readonly Worker[]): ModelTurns {
  let turn = 0;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const started = new Set<number>();

  const begin = async (index: number): Promise<void> => {
    turn = index;
    const worker = workers[index];
    if (started.has(index)) return worker?.resume();
    started.add(index);
    void worker?.run().catch(() => undefined); // it tells of errors by its event
  };
  const look = async (): Promise<void> => {
    const counts = await Promise.all(queues.map(queue => queue.getJobCounts('waiting', 'active', 'delayed')));
    if (stopped || (counts[turn]?.['waiting'] ?? 0) > 0 || (counts[turn]?.['active'] ?? 0) > 0) return;
    // Also those that wait for their time, or whose worker died: only a worker that runs gives them on.
    const others = queues.map((_, i) => (turn + 1 + i) % queues.length).filter(i => i !== turn);
    const next = others.find(i => Object.values(counts[i] ?? {}).some(count => count > 0));
    if (next === undefined) return;
    await workers[turn]?.pause();
    if (!stopped) await begin(next);
  };
  const again = (): void => {
    if (stopped || workers.length === 1) return;
    timer = setTimeout(
      () =>
        void look()
          .catch(() => undefined)
          .then(again),
      LOOK_MS,
    );
  };
  void begin(0);
  again();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
