// The page of a session that measures a model: fragments, and the counts that sites sent.
import { startCounts } from "./counts.js";
import { startFragments } from "./session/fragments.js";

startFragments(() => {});
startCounts();
