// The page of a model: fragments, and the counts that sites sent.
import { startCounts } from "./counts.js";

startCounts();
