/** Whether `npm run test:full` runs the tests. In a page there is no environment: there it never does. */
export const FULL = globalThis.process?.env?.['PENTIMENTO_FULL'] !== undefined;
