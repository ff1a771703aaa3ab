/* one /* ; */ CREATE TABLE t (a); -- it's; "fine" `too
INSERT INTO t VALUES (1--1;
), (3-/* ; ' */-2), ('/* no; */ -- comment');/**/--
/***/INSERT INTO t VALUES (2) /* ; */ ; /*/ ; */
