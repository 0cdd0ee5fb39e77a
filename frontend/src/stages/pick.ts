/** Stage. */
import type { StageHost, StageView } from "./stage";
export const createPickStage = (_host: StageHost): StageView => { throw new Error("not yet"); };
