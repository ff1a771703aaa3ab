CREATE TABLE t (a);
INSERT INTO t VALUES (1) -- the last; one
  ;
/* and ; 'tail */
-- that's all;