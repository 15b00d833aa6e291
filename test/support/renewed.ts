import { afterEach, beforeEach } from 'vitest';

/**
 * `beforeAll` for what tests share and one of them can break, such as a pipeline that a test which ran out of time still uses:
 * `open` runs before the first test, and once more before the one after a failure.
 */
export function renewed(open: () => Promise<void>): void {
  let stale = true;
  beforeEach(async () => {
    if (!stale) return;
    await open();
    stale = false;
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') stale = true;
  });
}
