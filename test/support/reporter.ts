/**
 * What a run looks like: a line for each file as it ends, failures whole and together, then the slowest files and the sums.
 * scripts/test.mjs reads the sums from the file that PENTIMENTO_SUMS names.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { DefaultReporter, type TestModule, type Vitest } from 'vitest/node';

const SLOWEST = 8;

export default class PageReporter extends DefaultReporter {
  #modules: TestModule[] = [];

  constructor() {
    super({ summary: false, isTTY: false });
  }

  override onInit(ctx: Vitest): void {
    this.ctx = ctx; // without the banner
  }

  override printTestModule(module: TestModule): void {
    this.#modules.push(module);
    const { passed, failed, skipped } = count(module);
    const broken = module.state() === 'failed';
    const counts = [
      `${passed} passed`,
      ...(failed > 0 ? [`${failed} failed`] : []),
      ...(broken && failed === 0 ? ['broke outside of its tests'] : []),
      ...(skipped > 0 ? [`${skipped} not asked for`] : []),
    ];
    this.log(`${broken ? 'FAIL' : 'ok  '} ${seconds(module)}  ${this.#name(module)}: ${counts.join(', ')}`);
  }

  override reportTestSummary(_files: unknown, errors: unknown[]): void {
    const order = this.#modules.toSorted((a, b) => duration(b) - duration(a)).slice(0, SLOWEST);
    if (this.#modules.length > SLOWEST)
      this.log(`slowest: ${order.map(m => `${this.#name(m)} ${seconds(m).trim()}`).join(', ')}`);
    const counts = this.#modules.map(count);
    const passed = counts.reduce((sum, c) => sum + c.passed, 0);
    // A file that cannot be imported has no tests to fail, nor has an error outside of tests.
    const broken = this.#modules.filter((m, i) => m.state() === 'failed' && counts[i].failed === 0).length;
    const failed = counts.reduce((sum, c) => sum + c.failed, 0) + broken + errors.length;
    const wall = Math.round((this.end - this.start) / 1000);
    this.log(`${this.#modules.length} files in ${wall} s: ${passed} passed, ${failed} failed`);
    const sums = process.env.PENTIMENTO_SUMS;
    if (sums) writeFileSync(sums, JSON.stringify({ passed, failed }));
  }

  #name(module: TestModule): string {
    return relative(this.ctx.config.root, module.moduleId);
  }
}

function count(module: TestModule): { passed: number; failed: number; skipped: number } {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    if (state !== 'pending') counts[state]++;
  }
  return counts;
}

function duration(module: TestModule): number {
  const { collectDuration, setupDuration, duration: tests } = module.diagnostic();
  return collectDuration + setupDuration + tests;
}

function seconds(module: TestModule): string {
  return `${(duration(module) / 1000).toFixed(1)} s`.padStart(7);
}
