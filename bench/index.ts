/** What `pentimento bench` loads when it runs. */
export { benchmark } from './benchmark.ts';
export { mergedWith, refuseStrangers } from './results-file.ts';
export { chartsOf } from './svg/charts.ts';
